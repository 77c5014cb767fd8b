"""Git: revisions to commits, trees and blobs, snapshots of a dirty tree."""
