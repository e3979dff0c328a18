package sendmail

import (
	"strings"

	"postrider/internal/sysexits"
	"postrider/queue"
)

// mode is what -b selects.
type mode byte

const (
	modeDeliver    mode = 'm' // queue a message: the default
	modeSMTP       mode = 's' // SMTP on standard input and output
	modeList       mode = 'p' // list the queue
	modeAliases    mode = 'i' // newaliases
	modeVerify     mode = 'v' // tell where addresses lead
	modeDaemon     mode = 'd' // start the daemon in the background
	modeForeground mode = 'D' // become the daemon
	modeHostStatus mode = 'h' // accepted, nothing to show
	modePurge      mode = 'H' // accepted, nothing to purge
	modeQueueRun   mode = 'q' // -q: not a value of -b
)

const knownModes = "mspivdDhH"

// options is what the command line says.
type options struct {
	mode     mode
	explicit bool // the mode was given by -b

	fromHeader bool // -t
	keepDots   bool // -i
	raw        bool // -G
	verbose    bool // -v
	json       bool // mailq --json

	sender   *string // -f, -r
	fullName *string // -F
	config   string  // -C
	queueRun *string // -q with its value

	declared8Bit bool // -B8BITMIME
	notify       queue.Notify
	ret          queue.Ret
	envID        string

	operands []string
	warnings []string
}

// argument says whether an option takes a value, and from where.
type argument uint8

const (
	noValue  argument = iota
	value             // attached, else the next argument
	attached          // attached or none
)

// option is one row of the grammar. Options that are not in the table, and those
// that are refused, end with status 64.
type option struct {
	letter byte
	takes  argument
	set    func(o *options, v string) error
}

func ignore(*options, string) error { return nil }

// grammar is the whole of it. What an option that is accepted without effect
// means elsewhere stands beside it.
var grammar = [...]option{
	{'A', value, ignore}, // which of two configurations
	{'B', value, (*options).setBody},
	{'b', value, (*options).setMode},
	{'C', value, func(o *options, v string) error { o.config = v; return nil }},
	{'c', noValue, ignore},  // connect only when told to
	{'d', attached, ignore}, // debugging
	{'e', value, ignore},    // how to report errors
	{'F', value, func(o *options, v string) error { o.fullName = &v; return nil }},
	{'f', value, func(o *options, v string) error { o.sender = &v; return nil }},
	{'G', noValue, func(o *options, _ string) error { o.raw = true; return nil }},
	{'h', value, ignore}, // hop count
	{'I', noValue, func(o *options, _ string) error { return o.setMode("i") }},
	{'i', noValue, func(o *options, _ string) error { o.keepDots = true; return nil }},
	{'L', value, ignore},   // tag of log lines: the daemon writes ours
	{'m', noValue, ignore}, // to me too
	{'N', value, (*options).setNotify},
	{'O', value, ignore}, // never QueueDirectory or the like from a user
	{'o', value, (*options).setOld},
	{'p', value, ignore}, // protocol it came by
	{'q', attached, func(o *options, v string) error { o.queueRun = &v; return nil }},
	{'R', value, (*options).setRet},
	{'r', value, func(o *options, v string) error { o.sender = &v; return nil }},
	{'t', noValue, func(o *options, _ string) error { o.fromHeader = true; return nil }},
	{'U', noValue, ignore}, // first submission
	{'V', value, func(o *options, v string) error { o.envID = v; return nil }},
	{'v', noValue, func(o *options, _ string) error { o.verbose = true; return nil }},
	{'x', noValue, ignore}, // AIX
}

func (o *options) setMode(v string) error {
	if len(v) != 1 || !strings.Contains(knownModes, v) {
		return failf(sysexits.Usage, "mode -b%s is not offered", v)
	}
	o.mode, o.explicit = mode(v[0]), true
	return nil
}

func (o *options) setBody(v string) error {
	switch strings.ToUpper(v) {
	case "8BITMIME":
		o.declared8Bit = true
	case "7BIT":
		o.declared8Bit = false
	default:
		return failf(sysexits.Usage, "body type %q of option -B is neither 7BIT nor 8BITMIME", v)
	}
	return nil
}

// setOld handles -o: of the options of old only -oi has an effect.
func (o *options) setOld(v string) error {
	if strings.HasPrefix(v, "i") {
		o.keepDots = true
	}
	return nil
}

// setNotify takes the occasions of a report (RFC 3461 §4.1). What cannot be
// understood is passed over: reports matter less than the message.
func (o *options) setNotify(v string) error {
	var notify queue.Notify
	for word := range strings.SplitSeq(strings.ToLower(v), ",") {
		switch strings.TrimSpace(word) {
		case "never":
			notify |= queue.NotifyNever
		case "success":
			notify |= queue.NotifySuccess
		case "failure":
			notify |= queue.NotifyFailure
		case "delay":
			notify |= queue.NotifyDelay
		default:
			o.warn("option -N " + v + " ignored: want never, or success, failure, delay")
			return nil
		}
	}
	if notify&queue.NotifyNever != 0 && notify != queue.NotifyNever {
		o.warn("option -N " + v + " ignored: never excludes the others")
		return nil
	}
	o.notify = notify
	return nil
}

func (o *options) setRet(v string) error {
	switch strings.ToLower(v) {
	case "full":
		o.ret = queue.RetFull
	case "hdrs":
		o.ret = queue.RetHeaders
	default:
		o.warn("option -R " + v + " ignored: want full or hdrs")
	}
	return nil
}

func (o *options) warn(text string) { o.warnings = append(o.warnings, text) }
