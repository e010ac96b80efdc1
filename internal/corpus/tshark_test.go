package corpus_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ribtap/ribtap/bgp"
)

// theirMessage is a message as tshark dissects it.
type theirMessage struct {
	size      int
	typ       int
	malformed bool
	pathIDs   bool // it shows path identifiers
	routes    []wireRoute
	eor       bool
	peer      string // address in the per-peer header
}

const (
	portBMP = 11019
	portBGP = 179
)

// runTshark has tshark dissect the streams, each as a TCP connection of its
// own in one capture, and returns the messages of each.
func runTshark(t *testing.T, streams [][]byte, k kind) [][]theirMessage {
	t.Helper()
	port := uint16(portBMP)
	if k == kindBGP {
		port = portBGP
	}
	capture := appendCapture(nil, streams, port)
	path := filepath.Join(t.TempDir(), "streams.pcap")
	if err := os.WriteFile(path, capture, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "tshark", "-n", "-r", path, "-d", fmt.Sprintf("tcp.port==%d,%s", port, k),
		"-o", "tcp.desegment_tcp_streams:TRUE", "-J", "ip bmp bgp _ws.malformed", "-T", "pdml")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &pdml{out: make([][]theirMessage, len(streams)), streams: streams, k: k}
	s := bufio.NewScanner(pipe)
	s.Buffer(nil, 1<<26)
	for s.Scan() {
		p.line(s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return p.out
}

// appendCapture appends a pcap file with one TCP connection for each stream:
// stream i goes from 10.i to 192.0.2.1.
func appendCapture(dst []byte, streams [][]byte, port uint16) []byte {
	const ethernet = 1
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, 0xa1b2c3d4)
	dst = le.AppendUint16(le.AppendUint16(dst, 2), 4)
	dst = append(dst, make([]byte, 8)...)
	dst = le.AppendUint32(le.AppendUint32(dst, 1<<17), ethernet)
	at := uint32(0)
	packet := func(src [4]byte, seq uint32, flags byte, payload []byte) {
		const eth, ip, tcp = 14, 20, 20
		n := eth + ip + tcp + len(payload)
		at++
		dst = le.AppendUint32(le.AppendUint32(dst, at/1000), at%1000*1000)
		dst = le.AppendUint32(le.AppendUint32(dst, uint32(n)), uint32(n))
		dst = append(dst, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0)
		be := binary.BigEndian
		head := be.AppendUint16([]byte{0x45, 0}, uint16(n-eth))
		head = append(head, 0, 0, 0x40, 0, 64, 6, 0, 0)
		head = append(append(head, src[:]...), 192, 0, 2, 1)
		sum := uint32(0)
		for i := 0; i < len(head); i += 2 {
			sum += uint32(be.Uint16(head[i:]))
		}
		sum = sum&0xffff + sum>>16
		be.PutUint16(head[10:], ^uint16(sum&0xffff+sum>>16))
		dst = append(dst, head...)
		dst = be.AppendUint16(be.AppendUint16(dst, 20000), port)
		dst = be.AppendUint32(be.AppendUint32(dst, seq), 0)
		dst = append(dst, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
		dst = append(dst, payload...)
	}
	const syn, psh, ack = 0x02, 0x08, 0x10
	for i, b := range streams {
		src := [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}
		packet(src, 1000, syn, nil)
		seq := uint32(1001)
		for len(b) > 0 {
			n := segmentLen(b, port)
			packet(src, seq, psh|ack, b[:n])
			seq += uint32(n)
			b = b[n:]
		}
	}
	return dst
}

// segmentLen is how much of b goes into the next segment: one message, as far
// as a packet can hold it. tshark 4.0 gives up a connection's reassembly when
// the BGP dissector, called for an OPEN or UPDATE inside of BMP, has looked at
// the segment that ends in the middle of a message; so none does.
func segmentLen(b []byte, port uint16) int {
	const maxSegment = 65000
	size, need := 0, 0
	switch {
	case port == portBMP && len(b) >= 6:
		size, need = int(binary.BigEndian.Uint32(b[1:])), 6
	case port == portBGP && len(b) >= bgp.HeaderLen:
		size, need = int(binary.BigEndian.Uint16(b[16:])), bgp.HeaderLen
	}
	if size < max(need, 1) || size > len(b) {
		size = len(b)
	}
	return min(size, maxSegment)
}
