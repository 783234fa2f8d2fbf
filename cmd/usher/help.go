package main

// help is --help and `--help all`, which has every flag, in one text. A line's
// first character says which of them has it: both (*), the short one (-), the
// whole one (a blank). Lines have at most 79 columns, and the short one has at
// most 40 lines: help_test.go.
const help = `*usher starts a command as the init of a container. It forwards signals, reaps
*zombies, answers health probes, holds SIGTERM back until traffic has moved on,
*and says why the command ended.
*
*Usage:
*  usher [flags] [--] command [args...]
*  usher --probe CHECK|livez|readyz|startupz|healthz
*  usher --install PATH
*
-Used most (+ can be repeated; usher --help all has every flag):
 + can be repeated. Defaults are in brackets.
 
 Signals:
*  -r, --rewrite FROM:TO    + send the app TO instead of FROM; 0 swallows it
*  -g, --process-group      send signals to the app's whole process group
   -p, --parent-death-signal SIG
                            get SIG when usher's parent dies; forward it
 
 The app:
*  -u, --user USER[:GROUP]  run the app as another user: names or numbers
       --no-new-privs       what app, hooks and checks execute gives no rights
*      --exit-code FROM=TO  + end with TO instead of FROM: 143=0
 
 Stopping:
*      --term-delay TIME    hold SIGTERM back for so long; /readyz fails
*      --quiet-period TIME  ... or until nothing came in for so long
       --quiet-mode MODE    ... traffic, or new-connections only [traffic]
       --quiet-ignore NET   + not counting these peers: 10.0.0.7,fd00::/8
       --drain-timeout TIME then let requests be answered, at most so long
*      --grace-period TIME  what the orchestrator grants from SIGTERM on;
                            SIGKILL comes in time before its end
       --stop-signals SIG,...
                            what begins a stop [TERM]
       --stop-schedule STEPS
                            what the app is then sent: TERM/20s/QUIT/5s/KILL
       --straggler-grace TIME
                            what outlives the app is then killed [2s]
*      --plan               print what a stop would do; start nothing
 
 Around the app:
*      --wait-for CHECK     + start the app when the check has held once
       --wait-timeout TIME  ... or end with 124 after so long; 0: never [1m]
       --pre-start COMMAND  + run before the app; each has to succeed
       --post-start ACTION  run beside the app; has to succeed
*      --pre-stop ACTION    run in a stop, before the app is told
       --post-stop ACTION   run when nothing else runs any more
                            ACTION: exec:command..., http://host:port/path
       --hook-timeout TIME  for each of these [before the app: none; in a
                            stop: a quarter of --grace-period, or 30s]
*      --restart POLICY     start the app again: no, on-failure, always; at
*                           once, then after 10s, doubled up to 5m [no]
       --restart-max N      how often, in a row
 
 Health:
*      --health-addr ADDR   + serve /livez, /readyz, /startupz, /healthz at
*                           HOST:PORT (":8086") or "unix:/path"
*      --ready-check CHECK  + /readyz holds while the check does
*      --live-check CHECK   + /livez holds while the check does
       --startup-check CHECK
                            + /startupz holds once the check has; until then
                            the others wait
*                           CHECK: http://host:port/path, tcp://host:port,
*                           unix:///path, file:/path, exec:command args...,
*                           https://..., grpc://host:port/service,
*                           grpcs://..., notify: (the app's READY=1)
       --check-header 'NAME: VALUE'
                            + goes with every http and https check
   Each of ready, live and startup has Kubernetes' parameters:
       --ready-initial-delay TIME [0s]
       --ready-period TIME [10s]
       --ready-timeout TIME [1s]
       --ready-success-threshold N [1; only ready may have more]
       --ready-failure-threshold N [3]
       --ready-while-draining
                            /readyz holds until the app is told of a stop
       --on-unhealthy POLICY
                            on a failed live or startup check: report, stop
                            [report]
       --watchdog TIME      /livez fails without WATCHDOG=1 (sd_notify)
*      --probe CHECK        run a check, or ask usher's own endpoint, within
*                           --ready-timeout: exit code 0 or 1
 
 Other:
       --install PATH       copy usher, and usher-check beside it, to PATH
       --termination-log FILE
                            where the reason goes [/dev/termination-log]
       --termination-format FORMAT
                            text or json [text]
       --termination-tail N ... with the app's last N lines of stderr [0]
       --log-format FORMAT  text or json [text]
   -q, --quiet              log errors only
   -v, --verbose            log everything
       --version
   -h, --help               ... all: every flag
*
*Each setting is also a variable: --term-delay is USHER_TERM_DELAY, a value a
*line where it can be repeated. A flag beats its variable. The app sees none.
 
 Exit codes: the app's own; 128+n: signal n killed it; 127: not found; 126:
 can't be run; 125: usher failed, or was called wrongly; 124: out of time.
*
*Examples:
*  usher -- nginx -g 'daemon off;'
*  usher --term-delay 10s --health-addr :8086 --ready-check http://localhost/ \
*        --rewrite TERM:QUIT -- nginx -g 'daemon off;'
`

// helpText returns the short help, or the whole.
func helpText(all bool) string {
	other := byte(' ')
	if all {
		other = '-'
	}
	var text []byte
	shown := false // the line that is being read
	for i := range len(help) {
		if i == 0 || help[i-1] == '\n' {
			shown = help[i] != other
		} else if shown {
			text = append(text, help[i])
		}
	}
	return string(text)
}
