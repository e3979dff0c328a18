package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandPages makes a page in Markdown of each command, by file name.
func commandPages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		pages[pageName(c)+".1"] = commandPage(c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return pages
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func commandPage(c *cobra.Command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s 1 \"\" postrider \"postrider\"\n==================================================\n\n", strings.ToUpper(pageName(c)))
	fmt.Fprintf(&b, "# NAME\n\n%s - %s\n\n", pageName(c), recase(c.Short, strings.ToLower))
	fmt.Fprintf(&b, "# SYNOPSIS\n\n**%s**\n\n", angle(c.UseLine()))
	about := c.Long
	if about == "" {
		about = c.Short + "."
	}
	fmt.Fprintf(&b, "# DESCRIPTION\n\n%s\n\n", angle(about))
	subcommands(&b, c)
	flags(&b, "OPTIONS", c.NonInheritedFlags())
	flags(&b, "OPTIONS OF EVERY COMMAND", c.InheritedFlags())
	if c.Example != "" {
		fmt.Fprintf(&b, "# EXAMPLES\n\n```\n%s\n```\n\n", c.Example)
	}
	if c.HasParent() {
		fmt.Fprintf(&b, "# SEE ALSO\n\n**%s**(1)\n", pageName(c.Parent()))
	} else {
		b.WriteString(rootEnd)
	}
	return b.Bytes()
}

const rootEnd = `# FILES

/etc/postrider/postrider.toml
:   The configuration, see **postrider.toml**(5).

/var/spool/postrider
:   The spool: queue.db, and maildrop/ for what sendmail leaves while no daemon runs.

# EXIT STATUS

0, or a status of sysexits.h: 64 wrong use, 65 no such message, 69 no daemon, 75 try again, 77 not permitted, 78 wrong configuration.

# SEE ALSO

**sendmail**(1), **mailq**(1), **newaliases**(1), **aliases**(5), **forward**(5), **postrider.toml**(5)
`

func subcommands(b *bytes.Buffer, c *cobra.Command) {
	first := true
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if first {
			b.WriteString("# COMMANDS\n\n")
			first = false
		}
		fmt.Fprintf(b, "**%s**(1)\n:   %s.\n\n", pageName(sub), sub.Short)
	}
}

func flags(b *bytes.Buffer, heading string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, "# %s\n\n", heading)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "**--" + f.Name + "**"
		if f.Shorthand != "" {
			name = "**-" + f.Shorthand + "**, " + name
		}
		if value != "" {
			name += " *" + value + "*"
		}
		fmt.Fprintf(b, "%s\n:   %s.\n\n", name, angle(recase(strings.TrimSuffix(usage, "."), strings.ToUpper)))
	})
}

// recase changes the first letter.
func recase(s string, to func(string) string) string {
	if s == "" {
		return s
	}
	return to(s[:1]) + s[1:]
}
