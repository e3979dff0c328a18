package local

import (
	"cmp"
	"fmt"
	"strings"
	"syscall"
	"unicode"

	"postrider/queue"
)

// ending is how a command ended.
type ending struct {
	status syscall.WaitStatus
	said   string // the first of what it wrote
	sh     bool   // a shell ran it
}

// maxShown bounds how much of a command line is shown.
const maxShown = 200

func shown(line string) string {
	line = oneLine(line)
	if len(line) > maxShown {
		line = strings.ToValidUTF8(line[:maxShown], "") + "..."
	}
	return `"` + line + `"`
}

// outcomeOfCommand makes the outcome of how a command ended: sysexits(3) as everybody reads
// them, everything else final, except that who was killed has not said anything.
func outcomeOfCommand(line string, e ending) Outcome {
	said := printable(e.said)
	name := "command " + shown(line)
	if e.status.Signaled() {
		return Outcome{Result: queue.Temporary, Status: "4.3.0", Text: says(fmt.Sprintf("%s: killed by signal %d", name, e.status.Signal()), said)}
	}
	code := e.status.ExitStatus()
	// A shell tells so of what it ran.
	if signal := code - 128; e.sh && signal > 0 && signal <= 64 {
		return Outcome{Result: queue.Temporary, Status: "4.3.0", Text: says(fmt.Sprintf("%s: killed by signal %d", name, signal), said)}
	}
	if code == 0 {
		return delivered(says("delivered to "+name, said))
	}
	status, meaning := meaningOf(code)
	o := Outcome{Result: queue.Failed, Status: status, Text: says(fmt.Sprintf("%s: exit status %d", name, code), cmp.Or(said, meaning))}
	if status[0] == '4' {
		o.Result = queue.Temporary
	}
	return o
}

// meaningOf follows sysexits(3), and sh(1) for 126 and 127.
func meaningOf(code int) (status, meaning string) {
	switch code {
	case 64:
		return "5.3.0", "command line usage error"
	case 65:
		return "5.6.0", "data format error"
	case 66:
		return "5.3.0", "cannot open input"
	case 67:
		return "5.1.1", "user unknown"
	case 68:
		return "5.1.2", "host name unknown"
	case 69:
		return "5.3.0", "service unavailable"
	case 70:
		return "5.3.0", "internal software error"
	case 71:
		return "4.3.0", "system resource problem"
	case 72:
		return "5.3.0", "critical system file missing"
	case 73:
		return "5.2.0", "cannot create user output file"
	case 74:
		return "5.3.0", "input/output error"
	case 75:
		return "4.3.0", "temporary failure"
	case 76:
		return "5.5.0", "remote error in protocol"
	case 77:
		return "5.7.0", "permission denied"
	case 78:
		return "5.3.5", "local configuration error"
	case notExecutable:
		return "5.3.0", "command cannot be executed"
	case notFound:
		return "5.3.0", "command not found"
	}
	return "5.3.0", ""
}

// What a shell exits with when it cannot run a command.
const (
	notExecutable = 126
	notFound      = 127
)

func says(text, words string) string {
	if words == "" {
		return text
	}
	return text + ": " + words
}

// printable makes one line of what a command wrote.
func printable(s string) string {
	return oneLine(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?")))
}
