package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
)

// table is one struct of the configuration.
type table struct {
	name string // in the file; empty for the top
	list bool   // may occur several times
	doc  string
	keys []key
}

type key struct {
	name, doc, kind, fallback, choices string
}

// parse reads the structs in the order in which Config refers to them.
func parse(path string) ([]table, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	structs := map[string]*ast.GenDecl{}
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			structs[g.Specs[0].(*ast.TypeSpec).Name.Name] = g
		}
	}
	return walk(structs, "Config", "", false), nil
}

func walk(structs map[string]*ast.GenDecl, typeName, name string, list bool) []table {
	decl := structs[typeName]
	t := table{name: name, list: list, doc: decl.Doc.Text()}
	var below []table
	for _, f := range decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType).Fields.List {
		if f.Tag == nil {
			continue
		}
		raw, _ := strconv.Unquote(f.Tag.Value)
		tag := reflect.StructTag(raw)
		goType, isList := typeOf(f.Type)
		if structs[goType] != nil && goType != "Duration" && goType != "Size" {
			below = append(below, walk(structs, goType, prefixed(name, tag.Get("toml")), isList)...)
			continue
		}
		t.keys = append(t.keys, newKey(f, tag, goType, isList))
	}
	return append([]table{t}, below...)
}

func prefixed(table, name string) string {
	if table == "" {
		return name
	}
	return table + "." + name
}

func typeOf(e ast.Expr) (name string, list bool) {
	if a, ok := e.(*ast.ArrayType); ok {
		name, _ = typeOf(a.Elt)
		return name, true
	}
	return e.(*ast.Ident).Name, false
}

func newKey(f *ast.Field, tag reflect.StructTag, goType string, list bool) key {
	kinds := map[string]string{"string": "text", "bool": "true or false", "int": "number", "Duration": "time span", "Size": "size"}
	k := key{name: tag.Get("toml"), doc: f.Doc.Text(), kind: kinds[goType]}
	if list {
		k.kind = "list of texts"
	}
	if check := tag.Get("check"); strings.Contains(check, "|") {
		k.choices = check
	}
	if text, ok := tag.Lookup("default"); ok {
		k.fallback = literal(text, goType, list)
	}
	return k
}

func literal(text, goType string, list bool) string {
	switch {
	case list:
		quoted := strings.Split(text, ",")
		for i := range quoted {
			quoted[i] = strconv.Quote(quoted[i])
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case goType == "bool" || goType == "int":
		return text
	}
	return strconv.Quote(text)
}

func (t table) heading() string {
	switch {
	case t.name == "":
		return "Top of the file"
	case t.list:
		return "[[" + t.name + "]]"
	}
	return "[" + t.name + "]"
}

func flat(doc string) string { return strings.Join(strings.Fields(doc), " ") }

// about strips the Go name from the front of a type's comment.
func about(doc string) string {
	text := flat(doc)
	if _, rest, ok := strings.Cut(text, " "); ok {
		return strings.ToUpper(rest[:1]) + rest[1:]
	}
	return text
}

// What templates call.

// Name is that of the table in the file.
func (t table) Name() string { return t.name }

// Heading is the table's line in the file.
func (t table) Heading() string { return t.heading() }

// Doc is the comment of the declaration.
func (t table) Doc() string { return t.doc }

// Keys are those of the table itself.
func (t table) Keys() []key { return t.keys }

// Name is that of the key in the file.
func (k key) Name() string { return k.name }

// Doc is the comment of the declaration.
func (k key) Doc() string { return k.doc }

// Kind says what may be written.
func (k key) Kind() string { return k.kind }

// Fallback is the default as written in the file.
func (k key) Fallback() string { return k.fallback }
