package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/pelletier/go-toml/v2"
)

// Source says where a configuration comes from.
type Source struct {
	// Path of the file; it must exist. Empty: POSTRIDER_CONFIG of the environment,
	// else DefaultPath, which need not exist.
	Path string
	// Environ as of os.Environ.
	Environ []string
	// Hostname gives the kernel's host name; nil means os.Hostname.
	Hostname func() (string, error)
	// Root is put before /etc/mailname and /etc/hosts; empty in production.
	Root string
}

// Load reads the file, then the environment, then derives and checks. An error
// names the file, the line and the key where it can.
func Load(src Source) (*Config, error) {
	c := &Config{sources: map[string]string{}}
	env := environ(src.Environ)
	path, required := src.Path, src.Path != ""
	if path == "" {
		path, required = env["POSTRIDER_CONFIG"], env["POSTRIDER_CONFIG"] != ""
	}
	if path == "" {
		path = DefaultPath
	}
	// The keys are looked up once: until the file is read there is no table that may
	// occur several times, and the place of the others does not change.
	keys := c.Keys()
	if err := applyDefaults(keys); err != nil {
		return nil, err
	}
	if err := c.readFile(path, required); err != nil {
		return nil, err
	}
	if err := c.prepareTables(env); err != nil {
		return nil, err
	}
	keys = append(keys, c.listKeys()...)
	if err := c.applyEnvironment(keys, env); err != nil {
		return nil, err
	}
	if err := c.derive(src); err != nil {
		return nil, err
	}
	if err := c.check(path, keys); err != nil {
		return nil, err
	}
	return c, nil
}

// Source says where a key's value was set: "default", a file, or a variable.
func (c *Config) Source(key string) string {
	if s, ok := c.sources[key]; ok {
		return s
	}
	if c.inFile != nil && c.inFile()[key] {
		return c.path
	}
	return "default"
}

func environ(list []string) map[string]string {
	env := map[string]string{}
	for _, kv := range list {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, "POSTRIDER_") {
			env[k] = v
		}
	}
	return env
}

func applyDefaults(keys []Key) error {
	for _, k := range keys {
		if k.Default == "" || !isUnset(k.value) {
			continue
		}
		if err := set(k.value, k.Default); err != nil {
			return fmt.Errorf("default of %s: %w", k.Name, err)
		}
	}
	return nil
}

func isUnset(v reflect.Value) bool { return v.IsZero() }

func (c *Config) readFile(path string, required bool) error {
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration: %w; make the file readable or name another", err)
	}
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return c.explain(path, err)
	}
	c.inFile = sync.OnceValue(func() map[string]bool { return namesIn(text) })
	c.path = path
	// Tables that may occur several times have got their defaults only now.
	return applyDefaults(c.listKeys())
}

// namesIn lists the keys that a configuration file sets.
func namesIn(text []byte) map[string]bool {
	names := map[string]bool{}
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err == nil {
		addNames(names, "", tree)
	}
	return names
}

func addNames(names map[string]bool, prefix string, tree map[string]any) {
	for name, value := range tree {
		switch v := value.(type) {
		case map[string]any:
			addNames(names, prefix+name+".", v)
		case []any:
			names[prefix+name] = true
			for _, item := range v {
				if table, ok := item.(map[string]any); ok {
					addNames(names, prefix+name+".", table)
				}
			}
		default:
			names[prefix+name] = true
		}
	}
}

func (c *Config) listKeys() []Key {
	return slices.Concat(
		listKeys(reflect.ValueOf(c.Smarthosts), "smarthost."),
		listKeys(reflect.ValueOf(c.Masquerade), "masquerade."),
		listKeys(reflect.ValueOf(c.Submission.SenderRules), "submission.sender_rules."),
		listKeys(reflect.ValueOf(c.TLS.Destinations), "tls.destination."),
	)
}

// explain turns the library's error into one line that names file, line, key
// and, for an unknown key, the nearest known one.
func (c *Config) explain(path string, err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) && len(missing.Errors) > 0 {
		e := missing.Errors[0]
		row, _ := e.Position()
		key := strings.Join(e.Key(), ".")
		return fmt.Errorf("%s:%d: unknown key %q%s", path, row, key, suggest(key))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, _ := decode.Position()
		text := wrongType(strings.TrimPrefix(decode.Error(), "toml: "))
		if key := strings.Join(decode.Key(), "."); key != "" {
			return fmt.Errorf("%s:%d: key %q: %s", path, row, key, text)
		}
		return fmt.Errorf("%s:%d: %s", path, row, text)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// wrongType says in the words of the file that a value is of another type than its
// key; other texts stay.
func wrongType(text string) string {
	given, field, ok := strings.Cut(strings.TrimPrefix(text, "cannot decode TOML "), " into struct field ")
	_, want, found := strings.Cut(field, " of type ")
	if !ok || !found {
		return text
	}
	switch {
	case strings.HasPrefix(want, "[]string"):
		want = `a list of texts, as in ["one", "two"]`
	case strings.HasPrefix(want, "[]"):
		want = "tables, each with its name in double brackets"
	case strings.HasPrefix(want, "string"):
		want = `a text in quotes`
	case strings.HasPrefix(want, "int"):
		want = "a number without quotes"
	case strings.HasPrefix(want, "bool"):
		want = "true or false without quotes"
	}
	return fmt.Sprintf("is a TOML %s, but must be %s", given, want)
}

func suggest(key string) string {
	best, distance := "", len(key)/2+2
	for _, name := range allNames() {
		if d := editDistance(key, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return "; docs/configuration.md lists the known ones"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

func allNames() []string {
	c := Config{
		Smarthosts: make([]Smarthost, 1), Masquerade: make([]Masquerade, 1),
		Submission: Submission{SenderRules: make([]SenderRule, 1)}, TLS: TLS{Destinations: make([]TLSDestination, 1)},
	}
	var names []string
	for _, k := range c.Keys() {
		names = append(names, k.Name)
		if table, _, ok := strings.Cut(k.Name, "."); ok && !slices.Contains(names, table) {
			names = append(names, table)
		}
	}
	return names
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// prepareTables makes one smarthost, one masquerade, if only the environment has
// one.
func (c *Config) prepareTables(env map[string]string) error {
	for name := range env {
		switch {
		case strings.HasPrefix(name, "POSTRIDER_SMARTHOST_") && len(c.Smarthosts) == 0:
			c.Smarthosts = make([]Smarthost, 1)
		case strings.HasPrefix(name, "POSTRIDER_MASQUERADE_") && len(c.Masquerade) == 0:
			c.Masquerade = make([]Masquerade, 1)
		}
	}
	return applyDefaults(c.listKeys())
}

// applyEnvironment lets variables override the file. A variable of a table that
// may occur several times sets the first, so that a container needs no file.
func (c *Config) applyEnvironment(keys []Key, env map[string]string) error {
	delete(env, "POSTRIDER_CONFIG") // is no key
	if len(env) == 0 {
		return nil
	}
	seen := map[string]bool{}
	for _, k := range keys {
		text, ok := env[k.Env()]
		if !ok || seen[k.Name] || strings.HasPrefix(k.Name, "tls.destination.") || strings.HasPrefix(k.Name, "submission.sender_rules.") {
			continue
		}
		seen[k.Name] = true
		if err := set(k.value, text); err != nil {
			return fmt.Errorf("environment variable %s: %w", k.Env(), err)
		}
		c.sources[k.Name] = k.Env()
	}
	return nil
}

// derive fills in what depends on the host.
func (c *Config) derive(src Source) error {
	if c.Hostname == "" {
		name, err := fqdn(src)
		if err != nil {
			return fmt.Errorf("configuration: hostname is not set and the system's is unknown: %w", err)
		}
		c.Hostname = name
	}
	if c.Origin == "" {
		c.Origin = firstLine(src.Root + "/etc/mailname")
	}
	if c.Origin == "" {
		c.Origin = c.Hostname
	}
	if c.LocalDomains == nil {
		c.LocalDomains = slices.Compact([]string{"localhost", c.Hostname, c.Origin})
	}
	return nil
}

func fqdn(src Source) (string, error) {
	hostname := src.Hostname
	if hostname == nil {
		hostname = os.Hostname
	}
	name, err := hostname()
	if err != nil || strings.Contains(name, ".") {
		return name, err
	}
	hosts, err := readFile(src.Root + "/etc/hosts")
	if err != nil {
		return name, nil
	}
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) > 1 && slices.Contains(fields[1:], name) && strings.Contains(fields[1], ".") {
			return fields[1], nil
		}
	}
	return name, nil
}

func firstLine(path string) string {
	text, err := readFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// readFile is os.ReadFile without the poller, which that gets ready in vain: the
// sendmail program has no other use for it and starts anew for each message.
func readFile(path string) ([]byte, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		f := os.NewFile(uintptr(fd), path)
		defer f.Close()
		return io.ReadAll(f)
	}
}
