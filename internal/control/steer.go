package control

import (
	"errors"
	"fmt"
	"net/http"
)

// errForbidden says that the caller lacks the right.
var errForbidden = errors.New("only root and members of the daemon's group may do this")

// admin reports whether the caller may do what is for administrators, and answers
// if not.
func (s *Server) admin(w http.ResponseWriter, r *http.Request, what string) bool {
	if callerOf(r.Context()).admin {
		return true
	}
	s.logger.Warn("control request refused", "request", what, "uid", callerOf(r.Context()).uid)
	w.WriteHeader(http.StatusForbidden)
	reply(w, failure{fmt.Sprintf("%s: %v", what, errForbidden)})
	return false
}

// flush is open to everybody, as sendmail -q is. To end suspensions is not.
func (s *Server) flush(w http.ResponseWriter, r *http.Request) {
	var req request
	if !read(w, r, &req) || req.Force && !s.admin(w, r, "flush --force") {
		return
	}
	out, err := s.local.Flush(r.Context(), req.Filter, req.Force)
	if err != nil {
		s.fail(w, err)
		return
	}
	if !callerOf(r.Context()).admin {
		out = Flushed{Matched: -1}
	}
	reply(w, out)
}

// act is for administrators, but that users may delete what they sent.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	var o Order
	if !read(w, r, &o) {
		return
	}
	if err := o.check(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		reply(w, failure{err.Error()})
		return
	}
	if o.Verb != Delete && !s.admin(w, r, string(o.Verb)) {
		return
	}
	o.Filter = visible(r, o.Filter)
	n, err := s.local.Act(r.Context(), o)
	if n.Messages > 0 {
		s.logger.Info("queue command", "verb", o.Verb, "messages", n.Messages, "uid", callerOf(r.Context()).uid, "text", o.Text)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	reply(w, n)
}

func (s *Server) suspend(w http.ResponseWriter, r *http.Request) {
	var ask Suspension
	if !read(w, r, &ask) {
		return
	}
	verb := "suspend"
	if ask.Until.IsZero() {
		verb = "resume"
	}
	if !s.admin(w, r, verb) {
		return
	}
	out, err := s.local.Suspend(r.Context(), ask)
	if len(out.Done) > 0 {
		s.logger.Info("queue command", "verb", verb, "destinations", len(out.Done), "first", out.Done[0], "until", ask.Until,
			"uid", callerOf(r.Context()).uid, "text", ask.Reason)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	reply(w, out)
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	var req request
	if !read(w, r, &req) || !s.admin(w, r, "stats") {
		return
	}
	out, err := s.local.Stats(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	reply(w, out)
}
