package command

import "github.com/spf13/cobra"

// Tree gives all commands, for who documents them.
func Tree() *cobra.Command {
	root := (&app{}).root()
	root.DisableAutoGenTag = true
	return root
}
