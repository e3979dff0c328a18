package smtp

import (
	"bytes"
	"errors"
	"io"
)

// A group is what is said before its replies are read. It must fit in the buffers
// of both systems whatever the host does meanwhile, or both would wait for the other
// to read (RFC 2920 §3.1). A hundred recipients is what every host takes in one
// transaction (RFC 5321 §4.5.3.1.8): a larger group would be refused in vain by
// those that take no more.
const (
	groupSize  = 16 << 10 // octets; one command may go beyond
	groupRcpts = 100
)

// pipeline is the transactor for hosts that offer PIPELINING (RFC 2920): MAIL, RCPTs
// and DATA leave together, and the replies are read in their order.
type pipeline struct {
	wire   *wire
	offers *offers
	// ahead says that DATA was said and its reply is still to be read.
	ahead bool
}

func (p *pipeline) envelope(e *envelope, answered func(int, said) bool) (said, Phase, error) {
	w := p.wire
	w.begin(PhaseMail)
	w.out = appendMail(w.out, e, p.offers)
	asked := p.gather(e, 0)
	mail, err := w.answer(w.exchange())
	switch {
	case err != nil || mail.code == 421:
		return mail, PhaseMail, err
	case mail.class() != 2:
		mail.lines = bytes.Clone(mail.lines)
		p.disregard(asked)
		return mail, PhaseMail, nil
	}
	more := true
	for i := 0; i < asked || more && i < len(e.rcpts); i++ {
		w.begin(PhaseRcpt)
		if i < asked {
			err = w.read()
		} else {
			asked = p.gather(e, i)
			err = w.exchange()
		}
		r, err := w.answer(err)
		if err != nil {
			return said{}, PhaseRcpt, err
		}
		more = answered(i, r) && more
		if r.code == 421 {
			break
		}
	}
	return said{code: mail.code}, PhaseMail, nil
}

// gather adds RCPTs from a recipient on to the group, and DATA after the last one.
// It returns the first recipient left for another group.
func (p *pipeline) gather(e *envelope, from int) int {
	w, i := p.wire, from
	for ; i < len(e.rcpts) && i-from < groupRcpts && len(w.out) < groupSize; i++ {
		w.out = appendRcpt(w.out, &e.rcpts[i], p.offers)
	}
	if p.ahead = i == len(e.rcpts); p.ahead {
		w.out = append(w.out, "DATA\r\n"...)
	}
	return i
}

// disregard reads what the host says about recipients after it has refused MAIL.
func (p *pipeline) disregard(asked int) {
	accepted := 0
	for range asked {
		p.wire.begin(PhaseRcpt)
		r, err := p.wire.answer(p.wire.read())
		if err != nil {
			return
		}
		if r.code == 421 {
			p.wire.fail(errClosing)
			return
		}
		if r.class() == 2 {
			accepted++
		}
	}
	p.forgo(accepted)
}

func (p *pipeline) content(body io.Reader, beforeDot func()) (said, Phase, error) {
	r, err := p.data()
	if err != nil || r.class() != 3 {
		return r, PhaseData, err
	}
	return p.wire.content(body, beforeDot)
}

// data gives the reply to DATA, which it says unless that was done ahead.
func (p *pipeline) data() (said, error) {
	if !p.ahead {
		return p.wire.command(PhaseData, "DATA")
	}
	p.ahead = false
	p.wire.begin(PhaseData)
	r, err := p.wire.answer(p.wire.read())
	if err == nil && p.wire.isMore() {
		// Replies have come that belong to no command, so those before may have
		// been taken for each other's.
		return said{}, p.wire.fail(errOutOfTurn)
	}
	return r, err
}

// forgo ends the content a host waits for with the dot alone: without recipients
// that is no message (RFC 2920 §3.1).
func (p *pipeline) forgo(accepted int) {
	if !p.ahead {
		return
	}
	r, err := p.data()
	switch {
	case err != nil:
	case r.code == 421:
		p.wire.fail(errClosing)
	case r.class() != 3:
	case accepted > 0:
		p.wire.fail(errors.New("content is given up after the host has asked for it"))
	default:
		// What the host makes of it says nothing about the message.
		if r, err := p.wire.command(PhaseData, "."); err == nil && r.code == 421 {
			p.wire.fail(errClosing)
		}
	}
}
