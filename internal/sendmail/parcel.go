package sendmail

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/address"
	"postrider/queue"
)

// parcel is a whole message with its envelope, ready to be handed in by any
// way.
type parcel struct {
	// id makes the message single, though it be handed in twice.
	id         string
	raw        bool
	envelope   queue.Envelope
	recipients []queue.Recipient
	message    *buffer
}

// newParcel makes an empty parcel.
func (r *run) newParcel() *parcel {
	dirs := append([]string{r.cfg.Maildrop()}, r.env.TempDirs...)
	return &parcel{id: newSubmissionID(), raw: r.opts.raw, message: &buffer{dirs: dirs}}
}

// idDigits is the length of a submission id: some 100 bits.
const idDigits = 20

// newSubmissionID draws an id of upper-case letters and digits.
func newSubmissionID() string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	random := make([]byte, idDigits)
	for n := 0; n < len(random); {
		got, err := unix.Getrandom(random[n:], 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			// Only a kernel before 3.17. The id must differ from this user's others.
			return strings.ToUpper(fmt.Sprintf("%08X%012X", unix.Getpid(), time.Now().UnixNano()&(1<<48-1)))
		}
		n += max(got, 0)
	}
	for i, c := range random {
		random[i] = alphabet[int(c)%len(alphabet)]
	}
	return string(random)
}

// hello is the name to greet the daemon with.
func (m *parcel) hello() string {
	if m.raw {
		return "[submit:" + m.id + ";raw]"
	}
	return "[submit:" + m.id + "]"
}

// afterHello is the place of MAIL among the commands.
const afterHello = 1

// commands are EHLO, MAIL, one RCPT for each recipient, and DATA, without line ends.
func (m *parcel) commands() []string {
	commands := make([]string, 0, len(m.recipients)+3)
	commands = append(commands, "EHLO "+m.hello(), m.mailCommand())
	for _, r := range m.recipients {
		rcpt := "RCPT TO:<" + r.Address.String() + ">"
		if r.Notify != 0 {
			rcpt += " NOTIFY=" + notifyWords(r.Notify)
		}
		if kind, text, ok := strings.Cut(r.Original, ";"); ok {
			rcpt += " ORCPT=" + kind + ";" + xtext(text)
		}
		commands = append(commands, rcpt)
	}
	return append(commands, "DATA")
}

func (m *parcel) mailCommand() string {
	e := &m.envelope
	mail := "MAIL FROM:<" + e.ReversePath.String() + "> SIZE=" + strconv.FormatInt(m.message.size, 10)
	if e.Body == queue.Body8BitMIME {
		mail += " BODY=8BITMIME"
	}
	if e.SMTPUTF8 {
		mail += " SMTPUTF8"
	}
	if e.Ret != queue.RetDefault {
		mail += " RET=" + string(e.Ret)
	}
	if e.EnvID != "" {
		mail += " ENVID=" + xtext(e.EnvID)
	}
	return mail
}

// notifyWords writes the NOTIFY parameter (RFC 3461 §4.1).
func notifyWords(n queue.Notify) string {
	var words []string
	for _, w := range [...]struct {
		bit  queue.Notify
		word string
	}{
		{queue.NotifyNever, "NEVER"}, {queue.NotifySuccess, "SUCCESS"},
		{queue.NotifyFailure, "FAILURE"}, {queue.NotifyDelay, "DELAY"},
	} {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// needsUTF8 reports whether an address of the envelope is not ASCII. A header in
// UTF-8 alone does not demand it: such mail has always been sent as it is.
func needsUTF8(sender address.Address, recipients []address.Address) bool {
	for _, r := range recipients {
		if !r.IsASCII() {
			return true
		}
	}
	return !sender.IsASCII()
}
