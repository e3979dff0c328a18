package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"postrider/queue"
)

// Server offers a Queue on a unix socket.
type Server struct {
	local  *Local
	logger *slog.Logger
	http   http.Server
}

// request is the body of every call.
type request struct {
	Filter queue.Filter `json:"filter"`
	Format Format       `json:"format,omitempty"`
	ID     queue.ID     `json:"id,omitzero"`
	Force  bool         `json:"force,omitempty"`
}

// failure is the body of every answer that is not 200.
type failure struct {
	Error string `json:"error"`
}

// NewServer makes a server; Serve runs it.
func NewServer(local *Local, logger *slog.Logger) *Server {
	s := &Server{local: local, logger: logger}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/queue/list", s.list)
	mux.HandleFunc("POST /v1/queue/show", s.show)
	mux.HandleFunc("POST /v1/queue/cat", s.cat)
	mux.HandleFunc("POST /v1/queue/flush", s.flush)
	mux.HandleFunc("POST /v1/queue/act", s.act)
	mux.HandleFunc("POST /v1/queue/suspend", s.suspend)
	mux.HandleFunc("POST /v1/queue/stats", s.stats)
	s.http = http.Server{Handler: mux, ConnContext: identify, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	return s
}

// Serve answers until ctx ends; calls under way are then given a moment.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			s.http.Close()
		}
	})
	err := s.http.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	var req request
	if !read(w, r, &req) {
		return
	}
	out := &started{ResponseWriter: w}
	list := s.local.List
	if !callerOf(r.Context()).admin {
		list = func(ctx context.Context, f queue.Filter, format Format, w io.Writer) error {
			return s.local.list(ctx, f, format, w, senderView)
		}
	}
	if err := list(r.Context(), visible(r, req.Filter), req.Format, out); err != nil {
		s.cut(out, err)
	}
}

// started notes whether an answer has begun: from then on the only way to say
// that it failed is to break it off.
type started struct {
	http.ResponseWriter
	begun bool
}

func (w *started) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

func (s *Server) cut(w *started, err error) {
	if w.begun {
		s.logger.Warn("control answer cut short", "error", err)
		panic(http.ErrAbortHandler)
	}
	s.fail(w, err)
}

// visible narrows a filter to what the caller may see, and has it find no more
// than that.
func visible(r *http.Request, f queue.Filter) queue.Filter {
	if who := callerOf(r.Context()); !who.admin {
		f.UID, f.Written = &who.uid, true
	}
	return f
}

// mine answers queue.ErrNotFound for messages that are none of the caller's
// business, so that their existence does not show.
func (s *Server) mine(r *http.Request, id queue.ID) error {
	who := callerOf(r.Context())
	if who.admin {
		return nil
	}
	e, err := s.local.Store.Get(r.Context(), id)
	if errors.Is(err, queue.ErrNotFound) {
		e, err = s.local.Store.Retired(r.Context(), id)
	}
	if err != nil {
		return err
	}
	if e.Message.Origin.UID != who.uid {
		return queue.ErrNotFound
	}
	return nil
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	var req request
	if !read(w, r, &req) {
		return
	}
	err := s.mine(r, req.ID)
	if err == nil {
		show := s.local.Show
		if !callerOf(r.Context()).admin {
			show = s.local.showSender
		}
		var d *Details
		if d, err = show(r.Context(), req.ID); err == nil {
			reply(w, d)
			return
		}
	}
	s.fail(w, err)
}

func (s *Server) cat(w http.ResponseWriter, r *http.Request) {
	var req request
	if !read(w, r, &req) {
		return
	}
	out := &started{ResponseWriter: w}
	err := s.mine(r, req.ID)
	if err == nil {
		err = s.local.Cat(r.Context(), req.ID, out)
	}
	if err != nil {
		s.cut(out, err)
	}
}

func read(w http.ResponseWriter, r *http.Request, req any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		reply(w, failure{"request not understood: " + err.Error()})
		return false
	}
	return true
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, queue.ErrNotFound) {
		status = http.StatusNotFound
	} else {
		s.logger.Error("control request failed", "error", err)
	}
	w.WriteHeader(status)
	reply(w, failure{err.Error()})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v) //nolint:errcheck // the caller has gone; there is nobody to tell
}
