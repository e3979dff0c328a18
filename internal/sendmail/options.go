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
	modeInterval   mode = 'Q' // -q30m without -bd: nothing to do
)

const knownModes = "mspivdDhH"

// option is how the command line names the mode.
func (m mode) option() string {
	if m == modeQueueRun || m == modeInterval {
		return "-q"
	}
	return "-b" + string(m)
}

// options is what the command line says.
type options struct {
	mode mode

	fromHeader bool // -t
	keepDots   bool // -i
	raw        bool // -G
	verbose    bool // -v
	json       bool // mailq --json

	sender   *string // -f, -r
	fullName *string // -F
	config   *string // -C
	queueRun string  // value of -q

	declared8Bit bool // -B8BITMIME
	notify       queue.Notify
	ret          queue.Ret
	envID        string
	tag          string // -L

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
	// doc documents it, for --help and the manual page: the name of its value, a
	// bar, and what it does. Without one it is accepted and ignored.
	doc string
}

func ignore(*options, string) error { return nil }

// grammar is the whole of it. What an option that is accepted without effect
// means elsewhere stands beside it.
var grammar = [...]option{
	{'A', value, ignore, ""}, // which of two configurations
	{'B', value, (*options).setBody, "type|The body type, 7BIT or 8BITMIME. Nothing is converted."},
	{'b', value, (*options).setMode, "mode|The mode: -bm hands in a message, as is the default; -bs speaks SMTP on standard input and output; -bp lists the queue, as mailq does; -bi checks the alias files, as newaliases does; -bv tells where addresses lead; -bd and -bD start the daemon in the background and the foreground."},
	{'C', value, func(o *options, v string) error { o.config = &v; return nil }, "file|Another configuration file; for root only."},
	{'c', noValue, ignore, ""},  // connect only when told to
	{'d', attached, ignore, ""}, // debugging
	{'e', value, ignore, ""},    // how to report errors
	{'F', value, func(o *options, v string) error { o.fullName = &v; return nil }, "name|The full name of the sender, for a From field that has to be added."},
	{'f', value, func(o *options, v string) error { o.sender = &v; return nil }, "address|The reverse-path, to which reports on the message go; <> for none."},
	{'G', noValue, func(o *options, _ string) error { o.raw = true; return nil }, "|The message is relayed: its header is left as it is, but for the fields that are always removed."},
	{'h', value, ignore, ""}, // hop count
	{'I', noValue, func(o *options, _ string) error { return o.setMode("i") }, "|The same as -bi."},
	{'i', noValue, func(o *options, _ string) error { o.keepDots = true; return nil }, "|A line that consists of a dot does not end the message."},
	{'L', value, (*options).setTag, "tag|The name by which the message's history knows the command."},
	{'m', noValue, ignore, ""}, // to me too
	{'N', value, (*options).setNotify, "when|When to report on delivery: never, or a list of success, failure and delay."},
	{'O', value, ignore, "name=value|Ignored."}, // never QueueDirectory or the like from a user
	{'o', value, (*options).setOld, "x|An option of old. -oi is the same as -i; all others are ignored."},
	{'p', value, ignore, ""}, // protocol it came by
	{'q', attached, (*options).setQueueRun, "|Try what is queued now, with -qf wait for it. With -qIid, -qRrecipient or -qSsender only what has that text in its queue id, a recipient or the sender; with ! before the text what does not. An interval, as in -q30m, starts no queue run: the daemon has its own schedule."},
	{'R', value, (*options).setRet, "full or hdrs|Whether a report on failure returns the whole message or its header."},
	{'r', value, func(o *options, v string) error { o.sender = &v; return nil }, "address|The same as -f."},
	{'t', noValue, func(o *options, _ string) error { o.fromHeader = true; return nil }, "|Take recipients from the To, Cc and Bcc fields of the header too."},
	{'U', noValue, ignore, ""}, // first submission
	{'V', value, (*options).setEnvID, "id|An envelope id, for reports."},
	{'v', noValue, func(o *options, _ string) error { o.verbose = true; return nil }, "|Tell on standard output what is done."},
	{'x', noValue, ignore, ""}, // AIX
}

func (o *options) setMode(v string) error {
	if len(v) != 1 || !strings.Contains(knownModes, v) {
		return failf(sysexits.Usage, "mode -b%s is not offered", v)
	}
	o.mode = mode(v[0])
	return nil
}

// setQueueRun makes -q the mode, as if -b had said it. A queue interval (-q30m) is
// for a daemon that is told how often to try; ours knows.
func (o *options) setQueueRun(v string) error {
	switch {
	case !isInterval(v):
		o.mode, o.queueRun = modeQueueRun, v
	case o.mode != modeDaemon && o.mode != modeForeground:
		o.mode = modeInterval
	}
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
	notify, ok := parseNotify(v)
	if !ok {
		o.warn("option -N " + v + " ignored: want never, or success, failure, delay")
		return nil
	}
	o.notify = notify
	return nil
}

func parseNotify(v string) (notify queue.Notify, ok bool) {
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
			return 0, false
		}
	}
	return notify, notify&queue.NotifyNever == 0 || notify == queue.NotifyNever
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

func (o *options) setEnvID(v string) error {
	if v == "" || !isEnvID(v) {
		o.warn("option -V " + v + " ignored: want 1 to 100 characters of printable ASCII")
		return nil
	}
	o.envID = v
	return nil
}

// setTag takes a name for the log. What could make it look like more than a name
// is replaced.
func (o *options) setTag(v string) error {
	o.tag = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, v)
	return nil
}

// logName is what the log calls us.
func (o *options) logName() string {
	if o.tag == "" {
		return "sendmail"
	}
	return o.tag
}

func (o *options) warn(text string) { o.warnings = append(o.warnings, text) }
