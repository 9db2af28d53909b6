# shellcheck shell=sh
# Runs one process for a test and ends it with the test, however the test ends.
#
#   sh -c "$(cat guard.sh)" guard DIR COMMAND [ARGUMENT...]
#
# Its standard input is a pipe that only the test holds. While it is open, each line is an order: the name of a signal
# for the process, or `again`, which starts the process anew once it has ended. When it closes (the test dropped it,
# panicked, or was killed) the process is killed and DIR, its working directory, is removed.
#
# Its standard output is the process's output, between which lines that begin with \001 report: `start`, `pid N`, `sent SIGNAL`,
# `exit STATUS`. A newline goes before each, as the process may have left a line unfinished.
dir=$1
shift
cd "$dir" || exit 70
exec 3<&0 </dev/null
# Where the test was killed nobody reads the reports any more; that must not end this shell before it has tidied up.
trap '' PIPE

report() {
    printf '\n\001%s\n' "$*" 2>/dev/null
}

while :; do
    # Before the process can print anything.
    report start
    {
        trap - PIPE
        exec "$@"
    } 2>&1 3<&- &
    pid=$!
    report pid "$pid"
    {
        while read -r signal; do
            kill -s "$signal" "$pid" 2>/dev/null && report sent "$signal"
        done
        kill -s KILL "$pid" 2>/dev/null
    } <&3 &
    orders=$!
    wait "$pid" 2>/dev/null
    status=$?
    # Nobody may send a signal to a number that is free to be given to another process.
    kill -s KILL "$orders" 2>/dev/null
    wait "$orders" 2>/dev/null
    report exit "$status"
    while read -r order; do
        [ "$order" = again ] && continue 2
    done <&3
    break
done

cd / && rm -rf -- "$dir"
