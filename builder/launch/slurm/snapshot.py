"""One look at the queue for all steps that wait: what squeue says of a user's jobs lies in a file on the cluster, which they share.

Whoever finds it too old asks squeue, one at a time; the others read what is there. So squeue is asked as often for a thousand steps as
for one. A look is one remote command that starts a handful of processes and sends one job's lines.

    <root>/queue/<uid>.jobs    when it was taken, the user's jobs, and the places of those that wait; replaced whole
    <root>/queue/<uid>.tried   when squeue was asked last: while it fails nobody asks more often, and the last answer stays
    <root>/queue/<uid>.error   what it said then
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from builder.launch.slurm.folders import SHARED
from builder.launch.slurm.states import SEPARATOR, SQUEUE, JobState, parse_squeue

_FOLDER = "queue"
_SLOWEST = 30  # seconds: a controller that hangs is one that does not answer
_PLACES = "%i|%P|%r"

_LOOK = f"""{SHARED}
cd "$1" 2>/dev/null || {{ shared "$1" && cd "$1"; }} || exit 1
me=$UID; printf -v now '%(%s)T' -1
old() {{
    local t=0
    {{ read -r t <$me.tried; }} 2>/dev/null
    ((now - t >= $1 || t > now + 60))
}}
take() {{
    echo $now >$me.tried
    timeout {_SLOWEST} squeue -h --me -t all -o '{SQUEUE}' >$me.own 2>$me.error || return
    {{
        echo $now
        cat $me.own
        ! grep -q '{SEPARATOR}PENDING{SEPARATOR}' $me.own ||
            timeout {_SLOWEST} squeue -h -t PENDING --sort=-p,i -o '{_PLACES}' | awk -F '{SEPARATOR}' '
                NR == FNR {{ own[$1]; next }}
                $3 ~ /^(JobHeld|Dependency|BeginTime)/ {{ next }}
                {{ count = split($2, names, ","); for (i = 1; i <= count; i++) last = ++waiting[names[i]] }}
                $1 in own {{ place[$1] = last; partition[$1] = names[count] }}
                END {{ for (id in place) print id, place[id], waiting[partition[id]] }}' $me.own FS='|' -
    }} >$me.new && mv $me.new $me.jobs
}}
if old $2 || [ ! -f $me.jobs ]; then
    exec 9>>$me.lock
    flock -n -E 44 9; busy=$?
    [ $busy = 44 ] && [ ! -f $me.jobs ] && flock -w {_SLOWEST} 9 && busy=0
    [ $busy = 44 ] || ! old $2 || take
fi
taken=0
{{ read -r taken <$me.jobs; }} 2>/dev/null
error=
while read -r line; do error=$line; done 2>/dev/null <$me.error
printf '%s %s %s\\n' $now $taken "$error"
[ ! -f $me.jobs ] || awk -F '{SEPARATOR}' -v name="$3" '
    NF == 7 && $7 == name {{ print; ids[$1] }}
    NF == 1 && split($0, words, " ") == 3 && words[1] in ids' $me.jobs
"""
"""For bash: the directory, how old the answer may be in seconds, the job's name. Without flock on its file system everybody asks."""


@dataclass(frozen=True, slots=True)
class Look:
    """When it is on the bastion, when squeue answered last (seconds since 1970; 0: never), what it said when it failed after that, and
    the jobs of one name. Those submitted since are not among them.
    """

    now: int
    taken: int
    error: str = ""
    jobs: tuple[JobState, ...] = ()

    @property
    def age(self) -> int:
        return self.now - self.taken


def look(root: str, name: str, age: int) -> str:
    """The remote command: what squeue says of the jobs of that name, or said less than `age` seconds ago."""
    return f"bash -c {shlex.quote(_LOOK)} look {shlex.quote(f'{root}/{_FOLDER}')} {age} {shlex.quote(name)}"


def parse_look(text: str) -> Look:
    """What the command printed; a look in which nothing was seen when it could not print anything."""
    head, _, rest = text.partition("\n")
    words = head.split(" ", 2)
    if len(words) < 3 or not (words[0].isdecimal() and words[1].isdecimal()):
        return Look(0, 0, head.strip())
    jobs, places = parse_squeue(rest), _places(rest)
    placed = (replace(job, place=places[job.id][0], waiting=places[job.id][1]) if job.id in places else job for job in jobs)
    return Look(int(words[0]), int(words[1]), words[2].strip(), tuple(placed))


def _places(text: str) -> dict[str, tuple[int, int]]:
    """Of jobs that wait: number -> place in the queue, and how many wait in it."""
    lines = (line.split(" ") for line in text.splitlines() if SEPARATOR not in line)
    return {
        words[0]: (int(words[1]), int(words[2])) for words in lines if len(words) == 3 and words[1].isdecimal() and words[2].isdecimal()
    }
