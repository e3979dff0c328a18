// The sendmail command hands messages to postrider. Called mailq it lists the
// queue, called newaliases it is content.
package main

import (
	"os"

	"postrider/internal/sendmail"
)

func main() {
	sendmail.CleanProcess()
	os.Exit(sendmail.Run(sendmail.System()))
}
