# A bridge that exists on this machine alone, for what pods and this machine must reach under the same address. Nothing is forwarded.
BRIDGE_OWNER=/sys/class/net/$BRIDGE/ifalias

up_bridge() {
    need_root "the bridge"
    need_program ip iproute2
    if [ ! -e "$BRIDGE_OWNER" ]; then
        # An address of its own: without one a bridge takes a port's and changes it as pods come and go, and open connections hang.
        ip link add "$BRIDGE" address "$(printf '02:42:0a:f4:%02x:01' "$NETWORK")" type bridge
        ip link set "$BRIDGE" alias "$ROOT"
    fi
    bridge_is_ours || fail "$BRIDGE belongs to $(cat "$BRIDGE_OWNER"): set BUILDER_SERVICES_NETWORK to another number (0-255)"
    ip address replace "$BRIDGE_IP/24" dev "$BRIDGE"
    ip address replace "$SERVICE_IP/32" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    publish bridge-address "BUILDER_TEST_BRIDGE=$BRIDGE_IP"
}

down_bridge() { if bridge_is_ours; then ip link delete "$BRIDGE"; fi; }

bridge_is_ours() { [ "$(cat "$BRIDGE_OWNER" 2>/dev/null)" = "$ROOT" ]; }
