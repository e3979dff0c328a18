package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check applies every key's rule and those that span keys.
func (c *Config) check(path string, keys []Key) error {
	for _, k := range keys {
		if err := checkValue(k); err != nil {
			where := c.Source(k.Name)
			if where == "default" {
				where = path
			}
			return fmt.Errorf("%s: key %q: %w", where, k.Name, err)
		}
	}
	if c.Retry.First > c.Retry.Max {
		return fmt.Errorf("%s: retry.first (%s) is greater than retry.max (%s); raise the one or lower the other", path, c.Retry.First, c.Retry.Max)
	}
	if err := c.Submission.check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, s := range c.Smarthosts {
		if err := s.check(); err != nil {
			return fmt.Errorf("%s: smarthost %q: %w", path, s.Address, err)
		}
	}
	if _, err := c.Masquerades(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := c.checkSenders(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (s Smarthost) check() error {
	switch {
	case s.Username != "" && s.PasswordFile == "":
		return fmt.Errorf("has a username but no password_file; name the file that holds the password")
	case s.Username == "" && s.PasswordFile != "":
		return fmt.Errorf("has a password_file but no username; add the login name")
	case s.Username != "" && (s.TLS == "none" || s.TLS == "opportunistic") && !isLoopback(s.Address):
		return fmt.Errorf("would send its password over a connection that is not verified; set tls to \"starttls\" or \"implicit\"")
	}
	return nil
}

func isLoopback(nextHop string) bool {
	host, _, ok := cutPort(nextHop)
	if !ok {
		host = nextHop
	}
	ip, err := netip.ParseAddr(strings.TrimPrefix(strings.Trim(host, "[]"), "IPv6:"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func checkValue(k Key) error {
	// TOML's own numbers do not pass through UnmarshalText.
	switch v := k.value.Interface().(type) {
	case Duration:
		if v < 0 || v > 0 && v.D() < time.Millisecond {
			return fmt.Errorf("%d has no unit of time: write it as \"90s\", \"5m\", \"4h\" or \"5d\"", int64(v))
		}
	case Size:
		if v < 0 {
			return fmt.Errorf("%d is no size; \"0\" stands for no limit", int64(v))
		}
	}
	text := ""
	if k.value.Kind() == reflect.String {
		text = k.value.String()
	}
	switch k.Check {
	case "":
		return nil
	case "domain":
		return checkDomain(text)
	case "absolute", "absolute?":
		if text == "" && k.Check == "absolute?" || filepath.IsAbs(text) {
			return nil
		}
		return fmt.Errorf("%q is not an absolute path", text)
	case "positive":
		if k.value.Int() > 0 {
			return nil
		}
		return fmt.Errorf("must be more than 0")
	case "port":
		if n := k.value.Int(); n > 0 && n < 65536 {
			return nil
		}
		return fmt.Errorf("%d is not a port", k.value.Int())
	case "listeners":
		return each(k.value, func(s string) error { _, err := ParseListener(s); return err })
	case "networks":
		return each(k.value, func(s string) error { _, err := parseNetwork(s); return err })
	case "forward":
		return checkForward(text)
	case "addresses":
		return each(k.value, checkAddressPort)
	case "ips":
		return each(k.value, func(s string) error { _, err := netip.ParseAddr(s); return err })
	case "nexthop":
		return checkNextHop(text)
	case "mailbox":
		return checkMailbox(text)
	case "required":
		if text == "" {
			return fmt.Errorf("must be set")
		}
		return nil
	}
	if choices := strings.Split(k.Check, "|"); !slices.Contains(choices, text) {
		return fmt.Errorf("%q is none of %s", text, strings.Join(choices, ", "))
	}
	return nil
}

func each(list reflect.Value, ok func(string) error) error {
	for i := range list.Len() {
		if err := ok(list.Index(i).String()); err != nil {
			return err
		}
	}
	return nil
}

func checkDomain(s string) error {
	if s == "" || len(s) > 255 || strings.ContainsAny(s, " \t\r\n<>@,;:()[]\"\\/") {
		return fmt.Errorf("%q is not a domain name", s)
	}
	return nil
}

func checkAddressPort(s string) error {
	if _, err := netip.ParseAddrPort(s); err != nil {
		return fmt.Errorf("%q is not an address with a port, such as 127.0.0.1:25 or [::1]:25", s)
	}
	return nil
}

// cutPort parts "host:port" and "[literal]:port"; ok is false without a port.
func cutPort(s string) (host string, port uint16, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, 0, false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	return s[:i], uint16(n), err == nil && n > 0
}

func checkNextHop(s string) error {
	host, _, hasPort := cutPort(s)
	if !hasPort && strings.Contains(s, ":") && !strings.HasPrefix(s, "[") {
		return fmt.Errorf("%q is not host:port, [literal]:port or a domain", s)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if _, err := netip.ParseAddr(strings.TrimPrefix(strings.TrimSuffix(inner, "]"), "IPv6:")); err != nil {
			return fmt.Errorf("%q is not an address literal", host)
		}
		return nil
	}
	return checkDomain(host)
}

func checkMailbox(s string) error {
	kind, rest, _ := strings.Cut(s, ":")
	switch kind {
	case "off":
		if s == "off" {
			return nil
		}
	case "mbox", "maildir":
		if isUsersPath(rest) {
			return nil
		}
		return fmt.Errorf("%q: the path after %s: must begin with {home}/, or with / and contain {user}", s, kind)
	case "lmtp":
		if path, ok := strings.CutPrefix(rest, "unix:"); ok {
			if filepath.IsAbs(path) {
				return nil
			}
			return fmt.Errorf("%q: the path after lmtp:unix: must be absolute", s)
		}
		if _, _, ok := cutPort(rest); !ok {
			return fmt.Errorf("%q is neither lmtp:unix:PATH nor lmtp:HOST:PORT", s)
		}
		return checkNextHop(rest)
	case "pipe":
		if filepath.IsAbs(rest) {
			return nil
		}
		return fmt.Errorf("%q: the command after pipe: must be an absolute path with its arguments", s)
	}
	return fmt.Errorf("%q is none of mbox:PATH, maildir:PATH, lmtp:unix:PATH, lmtp:HOST:PORT, pipe:COMMAND, off", s)
}

func checkForward(s string) error {
	if s == "off" || isUsersPath(s) {
		return nil
	}
	return fmt.Errorf("%q is neither off nor a path that begins with {home}/, or with / and contains {user}", s)
}

// isUsersPath tells whether a path is another for each user.
func isUsersPath(s string) bool {
	return strings.HasPrefix(s, "{home}/") || filepath.IsAbs(s) && strings.Contains(s, "{user}")
}
