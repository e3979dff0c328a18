// Command gendoc writes what is documented from declarations in the code: the page
// on the configuration, the commented default configuration, and the manual pages.
// With -check it only says whether they are current.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
)

const source = "internal/config/config.go"

func main() {
	check := flag.Bool("check", false, "fail if a generated file is not current")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "gendoc:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	tables, err := parse(source)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"docs/configuration.md":  markdown(tables),
		"contrib/postrider.toml": sample(tables),
	}
	pages, err := manual(tables)
	if err != nil {
		return err
	}
	maps.Copy(files, pages)
	for path, text := range files {
		if err := put(path, text, check); err != nil {
			return err
		}
	}
	return nil
}

func put(path string, text []byte, check bool) error {
	if !check {
		return os.WriteFile(path, text, 0o644)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, text) {
		return fmt.Errorf("%s is not current; run: make docs", path)
	}
	return nil
}
