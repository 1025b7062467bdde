# count: reads what one test program printed and prints "PASSED FAILED SKIPPED", and
# below it what failed or was skipped, a line each.
#
#     awk -v status=EXIT -v limit=SECONDS -v must=KH_MUST_WORK -f count.awk LOG
#
# A program must print a plan and keep to it, and exit 0. With must=1 a skip fails.
function failure(text) {
    failed++
    list = list "  " text "\n"
}

function skip(text) {
    skipped++
    list = list "  " text "\n"
}

/^1\.\.[0-9]+/ {
    plan = substr($1, 4) + 0
    planned = 1
    why = $0
}
/^Bail out!/ { failure($0); bad++ }
/^not ok/ { seen++; bad++; failure($0); next }
/^ok.*[^\\]# *[Ss][Kk][Ii][Pp]/ { seen++; skip($0); next }
/^ok/ { seen++; passed++ }

END {
    seen += 0
    if (status == 77 && !seen)
        skip("skipped: " (planned ? why : "exit status 77"))
    else if (status == 124 || status == 137)
        failure("ended after " limit " s, or killed")
    else if (status != 0 && !bad)
        failure("the program ended with status " status)
    else if (!planned)
        failure("the program printed no plan")
    else if (plan != seen)
        failure("the plan was " plan " checks, there were " seen)
    else if (!seen)
        skip("skipped: " why)
    if (must == 1) {
        failed += skipped
        skipped = 0
    }
    printf "%d %d %d\n%s", passed, failed, skipped, list
}
