package sendmail

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/address"
	"postrider/internal/sysexits"
	"postrider/queue"
)

// maxCommand bounds a command line of SMTP, in bytes.
const maxCommand = 8 << 10

// dialogue is SMTP on standard input and output (-bs). It is spoken here and not
// passed on to the daemon, so that it goes on when the daemon is restarted: each
// message goes in whole, by whichever way is open, like one from a pipe.
//
// Programs may greet or not, end lines with LF or CRLF, and send many commands at
// once (RFC 2920). Bare addresses are completed.
type dialogue struct {
	*run
	caller account
	stdin  *bufio.Reader
	out    *bufio.Writer
	tx     *transaction // from MAIL to the end of the message
}

// transaction is one envelope being made.
type transaction struct {
	sender     address.Address
	envelope   queue.Envelope
	recipients []queue.Recipient
}

// errOver ends the dialogue.
var errOver = errors.New("dialogue is over")

// smtp lets the caller speak SMTP until QUIT or the end of the input. Nothing goes
// to standard error, which some callers read as replies.
func (r *run) smtp(ctx context.Context) error {
	if r.env.IgnorePipe != nil {
		r.env.IgnorePipe()
	}
	r.env.Stderr = io.Discard
	out := bufio.NewWriter(r.env.Stdout)
	d := &dialogue{run: r, caller: callerAccount(r.env.Passwd, r.env.UID), out: out}
	d.stdin = bufio.NewReaderSize(&flushing{out, r.env.Stdin}, maxCommand)
	d.reply(220, r.cfg.Hostname+" ESMTP postrider")
	err := d.converse(ctx)
	if flushErr := out.Flush(); err == nil && flushErr != nil {
		return failf(sysexits.TempFail, "write to standard output: %v", flushErr)
	}
	return err
}

// flushing writes out what was said before it waits for more input.
type flushing struct {
	out *bufio.Writer
	io.Reader
}

func (f *flushing) Read(p []byte) (int, error) {
	if err := f.out.Flush(); err != nil {
		return 0, fmt.Errorf("write to standard output: %w", err)
	}
	return f.Reader.Read(p)
}

// converse answers commands.
func (d *dialogue) converse(ctx context.Context) error {
	for {
		line, err := d.line()
		switch {
		case errors.Is(err, io.EOF): // what there is of a last line was no command yet
			return nil
		case err != nil:
			return failf(sysexits.TempFail, "%v", err)
		}
		if err := d.command(ctx, line); errors.Is(err, errOver) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// line reads a command line without its end; of one that is too long, a part that
// is no command.
func (d *dialogue) line() (string, error) {
	line, err := d.stdin.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return string(bytes.TrimRight(line, "\r\n")), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = d.stdin.ReadSlice('\n')
	}
	return "\x00", err
}

// reply says one line. What a caller or a server put in it cannot make it two.
func (d *dialogue) reply(code int, text string) {
	fmt.Fprintf(d.out, "%d %s\r\n", code, oneLine(text))
}

// command answers one command; an error ends the dialogue.
func (d *dialogue) command(ctx context.Context, line string) error {
	if strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) >= 0 {
		d.reply(500, "5.5.2 Line is too long or has control characters")
		return nil
	}
	line = strings.Trim(line, " \t")
	verb, rest := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		verb, rest = line[:i], strings.TrimSpace(line[i:])
	}
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		d.hello(verb, rest)
	case "MAIL":
		d.mail(rest)
	case "RCPT":
		d.rcpt(rest)
	case "DATA":
		if rest != "" {
			d.reply(501, "5.5.4 Syntax: DATA")
			return nil
		}
		return d.data(ctx)
	case "RSET":
		d.tx = nil
		d.reply(250, "2.0.0 Ok")
	case "NOOP":
		d.reply(250, "2.0.0 Ok")
	case "VRFY":
		d.reply(252, "2.5.2 Cannot tell, but will take mail and try")
	case "HELP":
		d.reply(214, "2.0.0 HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT")
	case "QUIT":
		d.reply(221, "2.0.0 Bye")
		return errOver
	default:
		d.reply(500, "5.5.2 Command not known")
	}
	return nil
}

// hello greets; any name will do, for the kernel says who calls.
func (d *dialogue) hello(verb, name string) {
	switch {
	case name == "":
		d.reply(501, "5.5.4 Greet with a name, whichever")
		return
	case strings.EqualFold(verb, "EHLO"):
		fmt.Fprintf(d.out, "250-%s\r\n250-PIPELINING\r\n250-SIZE %d\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n",
			d.cfg.Hostname, int64(d.cfg.Submission.MaxMessageSize))
		d.reply(250, "ENHANCEDSTATUSCODES")
	default:
		d.reply(250, d.cfg.Hostname)
	}
	d.tx = nil
}

// data takes the message. Where the input ends within it, nothing is queued.
func (d *dialogue) data(ctx context.Context) error {
	switch {
	case d.tx == nil:
		d.reply(503, "5.5.1 Sender not given")
		return nil
	case len(d.tx.recipients) == 0:
		d.reply(554, "5.5.1 No valid recipients")
		return nil
	}
	tx := d.tx
	d.tx = nil
	d.reply(354, "End with a line that is a lone dot")
	body := &stuffed{in: d.stdin}
	err := d.take(ctx, tx, body)
	if _, broken := io.Copy(io.Discard, body); broken != nil {
		return &failure{status: sysexits.TempFail}
	}
	if err == nil {
		d.reply(250, "2.0.0 Ok: "+d.accepted)
		return nil
	}
	d.refuse(err)
	if errors.Is(err, errInterrupted) {
		return &failure{status: sysexits.TempFail}
	}
	return nil
}

// take reads a message and hands it in.
func (d *dialogue) take(ctx context.Context, tx *transaction, body io.Reader) error {
	p := d.newParcel()
	defer p.message.close()
	p.envelope, p.recipients = tx.envelope, tx.recipients
	p.envelope.ReversePath = tx.sender
	o := d.fixup(tx.sender, d.caller)
	o.DotEnds, o.ExtractRecipients = false, false
	if _, err := d.read(p, body, o); err != nil {
		return err
	}
	defer d.unwatch()
	return d.handIn(ctx, p)
}

// refuse words an error in SMTP: as the daemon did if it was the daemon's, else by
// the exit status that it would have been.
func (d *dialogue) refuse(err error) {
	var f *failure
	var said *reply
	switch {
	case errors.As(err, &said):
		d.reply(said.code, said.text)
	case !errors.As(err, &f), f.status == sysexits.TempFail:
		d.reply(451, "4.3.0 "+err.Error())
	case f.status == sysexits.Unavailable:
		d.reply(552, "5.3.4 "+f.text)
	case f.status == sysexits.NoPerm:
		d.reply(550, "5.7.1 "+f.text)
	default:
		d.reply(554, "5.6.0 "+f.text)
	}
}

// stuffed is what follows DATA up to the lone dot, dot-stuffing undone (RFC 5321
// §4.5.2), line ends as they come.
type stuffed struct {
	in      *bufio.Reader
	rest    []byte // read from in, not yet passed on
	midLine bool
	err     error
}

func (s *stuffed) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.next()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// next reads a line, or a part of a long one.
func (s *stuffed) next() {
	piece, err := s.in.ReadSlice('\n')
	begins := !s.midLine
	s.midLine = errors.Is(err, bufio.ErrBufferFull)
	switch {
	case errors.Is(err, io.EOF):
		s.err = io.ErrUnexpectedEOF
	case err != nil && !s.midLine:
		s.err = err
	case begins && !s.midLine && string(bytes.TrimRight(piece, "\r\n")) == ".":
		s.err = io.EOF
	case begins && piece[0] == '.':
		s.rest = piece[1:]
	default:
		s.rest = piece
	}
}
