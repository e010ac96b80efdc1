// Command ribtap is a BGP monitoring collector: it listens to routers (BMP,
// RFC 7854) and reads MRT files, keeps what they say in one durable ordered
// stream, and writes it from there to an SQL history and an MRT archive.
//
// This package is the composition root: it reads flags and configuration,
// builds the parts and joins them. It knows no protocol and no SQL.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
