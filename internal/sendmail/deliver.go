package sendmail

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"postrider/internal/address"
	"postrider/internal/message"
	"postrider/internal/sysexits"
	"postrider/queue"
)

// deliver queues the message on standard input.
func (r *run) deliver(ctx context.Context) error {
	caller := callerAccount(r.env.Passwd, r.env.UID)
	sender, err := r.sender(caller)
	if err != nil {
		return err
	}
	given, bad, err := r.operands()
	if err != nil {
		return err
	}
	if r.env.IgnorePipe != nil {
		r.env.IgnorePipe()
	}
	p := r.newParcel()
	defer p.message.close()
	header, err := r.read(p, &r.in, r.fixup(sender, caller))
	if err != nil {
		r.drain()
		return err
	}
	given = append(given, header.Recipients...)
	bad = append(bad, header.BadRecipients...)
	if err := r.address(p, sender, given, bad); err != nil {
		return err
	}
	r.tellEnvelope(p)
	defer r.unwatch()
	if err := r.handIn(ctx, p); err != nil {
		return err
	}
	r.committed()
	if !r.in.ended {
		r.watch(ctx)
		r.committed()
		r.drain()
	}
	return nil
}

// mailerDaemon at our origin stands for the mail system, to which no report goes.
const mailerDaemon = "MAILER-DAEMON"

// sender is the reverse-path: who calls, or what -f says. Anyone may say it.
func (r *run) sender(caller account) (address.Address, error) {
	if r.opts.sender == nil {
		return address.Address{Local: caller.login, Domain: r.cfg.Origin}, nil
	}
	a, warning, err := address.ParseReversePath(*r.opts.sender)
	if err != nil {
		return a, failf(sysexits.DataErr, "sender: %v", err)
	}
	if warning != "" {
		r.complain("warning: " + warning)
	}
	a = a.Qualify(r.cfg.Origin)
	if strings.EqualFold(a.Local, mailerDaemon) && strings.EqualFold(a.Domain, r.cfg.Origin) {
		return address.Address{}, nil
	}
	return a, nil
}

// operands reads the recipients on the command line. Those that cannot be read are
// dealt with later; a control character, though, is an attack on whoever called us,
// and ends it.
func (r *run) operands() (given []address.Address, bad []address.BadAddress, err error) {
	for _, operand := range r.opts.operands {
		g, b := address.ParseList(operand)
		for _, one := range b {
			if errors.Is(one.Err, address.ErrControl) {
				return nil, nil, failf(sysexits.DataErr, "recipient: %v", one.Err)
			}
		}
		given, bad = append(given, g...), append(bad, b...)
	}
	if len(given) == 0 && !r.opts.fromHeader {
		if len(bad) > 0 {
			return nil, nil, badRecipients("no usable recipient: ", bad)
		}
		return nil, nil, failf(sysexits.Usage, "Recipient addresses must be specified: there is none among the operands")
	}
	return given, bad, nil
}

// address completes the parcel's envelope.
func (r *run) address(p *parcel, sender address.Address, given []address.Address, bad []address.BadAddress) error {
	for i := range given {
		given[i] = given[i].Qualify(r.cfg.Origin)
	}
	if len(given) == 0 {
		if len(bad) > 0 {
			return badRecipients("no usable recipient: ", bad)
		}
		return failf(sysexits.Usage, "No recipient addresses found in message header")
	}
	for _, b := range bad {
		a, err := unreadable(b, r.cfg.Origin)
		if err != nil {
			return badRecipients("unusable recipient: ", bad)
		}
		given = append(given, a)
	}
	given = address.Unique(given)
	for _, a := range given {
		p.recipients = append(p.recipients, queue.Recipient{Address: a, Notify: r.opts.notify})
	}
	p.envelope.ReversePath = sender
	p.envelope.EnvID = r.opts.envID
	p.envelope.Ret = r.opts.ret
	p.envelope.SMTPUTF8 = needsUTF8(sender, given)
	return nil
}

// unreadable gives what could not be read, beside recipients that could, as an
// address that nobody has. The message goes to the others, and its sender gets a
// report on this one, as on any that fails. It must not ask for SMTPUTF8, which
// might keep the message from the others.
func unreadable(b address.BadAddress, origin string) (address.Address, error) {
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, b.Text)
	return address.FromUnquoted(text, origin)
}

// badRecipients names the recipients that could not be read.
func badRecipients(intro string, bad []address.BadAddress) error {
	var words []string
	for _, b := range bad {
		words = append(words, b.Err.Error())
	}
	return failf(sysexits.DataErr, "%s%s", intro, strings.Join(words, "; "))
}

// fixup says how the message is to be completed.
func (r *run) fixup(sender address.Address, caller account) message.Options {
	return message.Options{
		DotEnds:           !r.opts.keepDots,
		Fixup:             !r.opts.raw,
		ExtractRecipients: r.opts.fromHeader,
		Origin:            r.cfg.Origin,
		Hostname:          r.cfg.Hostname,
		From:              sender,
		FullName:          r.fullName(sender, caller),
		Date:              r.env.Now(),
		MaxSize:           int64(r.cfg.Submission.MaxMessageSize),
	}
}

// read takes the whole message in, fixed up.
func (r *run) read(p *parcel, source io.Reader, o message.Options) (*message.Header, error) {
	in := message.New(source, o)
	header, err := in.Header()
	if err == nil {
		_, err = io.Copy(p.message, in)
	}
	switch {
	case errors.Is(err, message.ErrTooLarge):
		return nil, failf(sysexits.Unavailable, "message too big: the limit is %d bytes", o.MaxSize)
	case errors.Is(err, message.ErrHeaderTooLarge):
		return nil, failf(sysexits.DataErr, "%v", err)
	case err != nil:
		return nil, failf(sysexits.TempFail, "%v; nothing was queued", err)
	}
	if r.opts.declared8Bit || header.EightBit || in.BodyEightBit() {
		p.envelope.Body = queue.Body8BitMIME
	}
	return header, nil
}

// input is standard input.
type input struct {
	r     io.Reader
	ended bool
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	i.ended = i.ended || err == io.EOF
	return n, err
}

// drainLimit is how much input after the end of the message is read and dropped.
const drainLimit = 1 << 30

// drain lets a caller finish who writes on after the end of the message, so that
// no broken pipe is reported on top of, or instead of, what we report. On a
// terminal the user waits for us.
func (r *run) drain() {
	if f, ok := r.env.Stdin.(*os.File); ok {
		if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice != 0 {
			return
		}
	}
	io.CopyN(io.Discard, &r.in, drainLimit)
}

// fullName is the name for an added From field. The mail system, which stands in
// for the null sender, has none.
func (r *run) fullName(sender address.Address, caller account) string {
	if r.opts.fullName != nil {
		return *r.opts.fullName
	}
	if sender.IsNull() {
		return ""
	}
	if name, ok := r.env.variable("NAME"); ok {
		return name
	}
	return message.FullName(caller.gecos, caller.login)
}
