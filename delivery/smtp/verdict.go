package smtp

import "errors"

// isTooMany reports whether a reply to RCPT means that the transaction has too many
// recipients (RFC 5321 §4.5.3.1.10).
func isTooMany(r said) bool { return r.code == 452 || r.code == 552 }

// tooMany makes the reply a temporary one, as that section says of 552.
func tooMany(r said) Reply {
	reply := r.reply()
	reply.Code, reply.Status = 452, "4"+reply.Status[1:]
	return reply
}

// verdict judges a reply to RCPT or to content by its first digit. What is no
// answer to that at all is no reason to give up.
func verdict(r said) Reply {
	reply := r.reply()
	if c := r.class(); c == 3 {
		reply.Code, reply.Status = 0, "4.5.0"
	}
	return reply
}

// explain gives every recipient without a reply the reason why it has none.
func (j *job) explain() {
	for i := range j.rep.Results {
		r := &j.rep.Results[i]
		if r.Done || r.Reply.Status != "" {
			continue
		}
		if j.rep.Err != nil {
			r.Reply = j.rep.Err.outcome()
			continue
		}
		r.Reply = ours("4.5.3", j.t.label()+" takes no more recipients at present")
	}
}

// outcome is the error as the last word on a recipient.
func (e *Error) outcome() Reply {
	if e.Reply == nil {
		return ours(e.status(), e.Error())
	}
	r := *e.Reply
	if e.Temporary() && !r.Temporary() {
		r.Code, r.Status = 0, "4"+r.Status[1:]
	}
	return r
}

// status finds the code of RFC 3463 for an error without a reply.
func (e *Error) status() string {
	var ce *CertificateError
	switch {
	case e.Local:
		return "4.3.0"
	case e.AuthFailure:
		return "4.7.0"
	case e.Phase == PhaseDial:
		return "4.4.1"
	case e.Phase == PhaseStartTLS, e.Phase == PhaseHandshake, errors.As(e.Err, &ce):
		return "4.7.5"
	}
	return "4.4.2"
}
