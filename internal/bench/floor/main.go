// Command floor is the least that a collector written in Go can do with a BMP
// session and still have something to store: it makes of each prefix an event
// with its attribute set, which is decoded once for each distinct set, and hands
// the events in batches to a second goroutine. It is the yardstick that the
// benchmarks measure collectors with; it has no table, keeps nothing and trusts
// its input more than a collector may.
//
//	floor HOST:PORT    listens there, serves one session, prints what it counted
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/ribtap/ribtap/bmp"
)

// counts is what the session held.
type counts struct {
	Messages  uint64 `json:"messages"`
	Announced uint64 `json:"announced"`
	Withdrawn uint64 `json:"withdrawn"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: floor HOST:PORT")
	}
	ln, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		return err
	}
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	n, err := serve(conn)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(n)
}

func serve(r io.Reader) (n counts, err error) {
	p := newPipeline()
	messages := bmp.NewReader(bufio.NewReaderSize(r, 256<<10), 0)
	for {
		m, err := messages.Next()
		if errors.Is(err, io.EOF) {
			made := p.end()
			made.Messages = n.Messages
			return made, nil
		}
		if err != nil {
			return n, err
		}
		n.Messages++
		if err := p.message(m); err != nil {
			return n, err
		}
	}
}
