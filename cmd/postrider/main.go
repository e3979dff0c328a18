// Command postrider is the delivery daemon and the administrator's tool.
package main

import (
	"os"

	"postrider/internal/command"
)

// version is set by the linker.
var version = "development"

func main() { os.Exit(command.Run(version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
