package dnstest

import (
	"strings"
	"time"
)

// Behaviour is how the server treats a question. The zero Behaviour is a healthy
// server's.
type Behaviour struct {
	// Rcode, if not empty, is answered with no records: "SERVFAIL", "REFUSED",
	// "NXDOMAIN", "NOTIMP", "FORMERR", "NOERROR".
	Rcode string
	// Silent leaves the question unanswered.
	Silent bool
	// Truncate sends an empty answer with TC over UDP, and the whole one over TCP.
	Truncate bool
	// AD sets the authenticated-data bit if the question asked for it (RFC 6840 §5.7).
	AD bool
	// Delay passes before the answer.
	Delay time.Duration
	// NoChase leaves the target of a CNAME to be asked for.
	NoChase bool
	// WrongQuestion answers with another name in the question section.
	WrongQuestion bool
	// WrongID answers with another message id.
	WrongID bool
	// NoEDNS answers FORMERR to questions with an OPT record (RFC 6891 §7).
	NoEDNS bool
	// Referral answers with a delegation and nothing else, as a server does that
	// is not responsible.
	Referral bool
	// Raw, if not nil, is sent as it is, only its first two octets replaced by the
	// question's id.
	Raw []byte
}

// question is what behaviours and counters are kept by: lower-case, no final dot;
// empty parts stand for any.
type question struct{ name, qtype string }

func key(name, qtype string) question {
	return question{strings.ToLower(strings.TrimSuffix(name, ".")), strings.ToUpper(qtype)}
}

// Set makes the server behave so for a name and type ("MX"). An empty name means
// all names, an empty type all types; the most specific setting counts, and name
// weighs more than type.
func (s *Server) Set(name, qtype string, b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviours[key(name, qtype)] = b
}

// Reset makes the server behave well again.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.behaviours)
}

// ServFail answers SERVFAIL for all types of a name.
func (s *Server) ServFail(name string) { s.Set(name, "", Behaviour{Rcode: "SERVFAIL"}) }

// Silence leaves all questions for a name unanswered.
func (s *Server) Silence(name string) { s.Set(name, "", Behaviour{Silent: true}) }

// Authenticate sets AD on the answers for all types of a name.
func (s *Server) Authenticate(name string) { s.Set(name, "", Behaviour{AD: true}) }

func (s *Server) behaviour(q question) Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range []question{q, {q.name, ""}, {"", q.qtype}, {}} {
		if b, ok := s.behaviours[k]; ok {
			return b
		}
	}
	return Behaviour{}
}

// Queries counts the questions for a name and type, over UDP and TCP, unanswered
// ones too. An empty name or type counts all.
func (s *Server) Queries(name, qtype string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	want, n := key(name, qtype), 0
	for q, c := range s.queries {
		if (want.name == "" || want.name == q.name) && (want.qtype == "" || want.qtype == q.qtype) {
			n += c
		}
	}
	return n
}

// QueriesTCP counts the questions that came over TCP.
func (s *Server) QueriesTCP() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tcp
}

// ResetQueries sets all counters to zero.
func (s *Server) ResetQueries() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.queries)
	s.tcp = 0
}

func (s *Server) count(q question, tcp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries[q]++
	if tcp {
		s.tcp++
	}
}
