package smtp

import "time"

// Timeouts bound the waits of a session. A zero field means its default, which
// follows RFC 5321 §4.5.3.2 where that names one.
type Timeouts struct {
	Connect   time.Duration // 30 s
	Greeting  time.Duration // 5 min
	Hello     time.Duration // 5 min
	StartTLS  time.Duration // 2 min, for the reply to STARTTLS
	Handshake time.Duration // 2 min
	Auth      time.Duration // 5 min, for each reply
	Mail      time.Duration // 5 min
	Rcpt      time.Duration // 5 min
	Data      time.Duration // 2 min
	Block     time.Duration // 3 min, for each 32 KiB of content
	Final     time.Duration // 10 min
	// Total bounds one Send whatever progress it makes: 2 h.
	Total time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 30 * time.Second}, {&t.Greeting, 5 * time.Minute}, {&t.Hello, 5 * time.Minute},
		{&t.StartTLS, 2 * time.Minute}, {&t.Handshake, 2 * time.Minute}, {&t.Auth, 5 * time.Minute},
		{&t.Mail, 5 * time.Minute}, {&t.Rcpt, 5 * time.Minute}, {&t.Data, 2 * time.Minute},
		{&t.Block, 3 * time.Minute}, {&t.Final, 10 * time.Minute}, {&t.Total, 2 * time.Hour},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return t
}

// of gives the bound of one wait in a phase.
func (t *Timeouts) of(p Phase) time.Duration {
	switch p {
	case PhaseDial:
		return t.Connect
	case PhaseGreeting:
		return t.Greeting
	case PhaseHello:
		return t.Hello
	case PhaseStartTLS:
		return t.StartTLS
	case PhaseHandshake:
		return t.Handshake
	case PhaseAuth:
		return t.Auth
	case PhaseMail:
		return t.Mail
	case PhaseRcpt:
		return t.Rcpt
	case PhaseData:
		return t.Data
	case PhaseBody:
		return t.Block
	}
	return t.Final
}
