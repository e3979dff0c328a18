package main

import (
	"bytes"
	"net"
)

// sinkSession is one SMTP session with the sink.
type sinkSession struct {
	conn    net.Conn
	arrived func() // called before a message is acknowledged

	buffer [16 << 10]byte
	in     []byte // received and not yet looked at, in buffer
	out    []byte // not yet sent
}

var endOfData = []byte("\r\n.\r\n")

// run answers until the client quits or goes away.
func (s *sinkSession) run() {
	s.say("220 sink.test ESMTP\r\n")
	for {
		line, ok := s.line()
		if !ok {
			return
		}
		switch verb(line) {
		case "EHLO":
			s.say("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 104857600\r\n250 ENHANCEDSTATUSCODES\r\n")
		case "DATA":
			s.say("354 go ahead\r\n")
			if !s.data() {
				return
			}
			s.arrived()
			s.say("250 2.0.0 ok\r\n")
		case "QUIT":
			s.say("221 2.0.0 bye\r\n")
			s.flush()
			return
		default: // MAIL, RCPT, RSET, NOOP: all is well
			s.say("250 2.0.0 ok\r\n")
		}
	}
}

func verb(line []byte) string { return string(bytes.ToUpper(line[:min(4, len(line))])) }

func (s *sinkSession) say(text string) { s.out = append(s.out, text...) }

func (s *sinkSession) flush() bool {
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err == nil
}

// more receives; what was said goes out before, for a client that pipelines in one
// piece.
func (s *sinkSession) more() bool {
	if len(s.out) > 0 && !s.flush() {
		return false
	}
	kept := copy(s.buffer[:], s.in)
	if kept == len(s.buffer) {
		return false
	}
	n, err := s.conn.Read(s.buffer[kept:])
	s.in = s.buffer[:kept+n]
	return err == nil
}

func (s *sinkSession) line() ([]byte, bool) {
	for {
		if end := bytes.IndexByte(s.in, '\n'); end >= 0 {
			line := s.in[:end]
			s.in = s.in[end+1:]
			return line, true
		}
		if !s.more() {
			return nil, false
		}
	}
}

// data skips a message. Its first line may be the dot: the end is looked for as if
// the line before were there as well.
func (s *sinkSession) data() bool {
	first := true
	for {
		if first && bytes.HasPrefix(s.in, endOfData[2:]) {
			s.in = s.in[3:]
			return true
		}
		if end := bytes.Index(s.in, endOfData); end >= 0 {
			s.in = s.in[end+len(endOfData):]
			return true
		}
		if keep := len(endOfData) - 1; len(s.in) > keep {
			s.in, first = s.in[len(s.in)-keep:], false
		}
		if !s.more() {
			return false
		}
	}
}
