package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Key is one declared key with its place in a Config.
type Key struct {
	// Name as in the file, with its table: "retry.first", "smarthost.address".
	Name string
	// Default as written in the file; empty where it is derived or none.
	Default string
	// Check names the rule.
	Check string
	// Field is the Go field's name within its struct, Struct that struct's name.
	Struct, Field string
	value         reflect.Value
}

// Env is the environment variable that overrides the key.
func (k Key) Env() string {
	return "POSTRIDER_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Value gives the effective value as it would be written in the file.
func (k Key) Value() string { return format(k.value) }

// Keys lists every declared key in the order of declaration. Tables that may
// occur several times are listed once for each occurrence, or once with defaults.
func (c *Config) Keys() []Key { return keysOf(reflect.ValueOf(c).Elem(), "") }

func keysOf(v reflect.Value, prefix string) []Key {
	var keys []Key
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("toml")
		if !ok {
			continue
		}
		switch {
		case f.Type.Kind() == reflect.Struct:
			keys = append(keys, keysOf(v.Field(i), prefix+name+".")...)
		case isTableList(f.Type):
			keys = append(keys, listKeys(v.Field(i), prefix+name+".")...)
		default:
			keys = append(keys, Key{Name: prefix + name, Default: f.Tag.Get("default"), Check: f.Tag.Get("check"),
				Struct: t.Name(), Field: f.Name, value: v.Field(i)})
		}
	}
	return keys
}

func isTableList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func listKeys(list reflect.Value, prefix string) []Key {
	var keys []Key
	for i := range list.Len() {
		keys = append(keys, keysOf(list.Index(i), prefix)...)
	}
	return keys
}

// set parses the text of a default or an environment variable into a field.
func set(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		v.Set(reflect.ValueOf(splitList(text)))
	}
	return nil
}

// splitList parts the comma-separated form of a list; an empty text is an empty
// list, which differs from none.
func splitList(text string) []string {
	list := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

func format(v reflect.Value) string {
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return strconv.Quote(s.String())
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Slice:
		quoted := make([]string, v.Len())
		for i := range quoted {
			quoted[i] = strconv.Quote(v.Index(i).String())
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}
