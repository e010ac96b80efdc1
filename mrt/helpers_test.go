package mrt_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/mrt"
)

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func prefix(s string) []byte { return mrt.AppendPrefix(nil, netip.MustParsePrefix(s)) }

// attribute builds a path attribute with a one-octet length.
func attribute(flags, code uint8, value ...byte) []byte {
	return append([]byte{flags, code, byte(len(value))}, value...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// asPath builds an AS_PATH of one sequence.
func asPath(width int, as ...uint32) []byte {
	value := []byte{2, byte(len(as))}
	for _, a := range as {
		if width == 4 {
			value = binary.BigEndian.AppendUint32(value, a)
		} else {
			value = binary.BigEndian.AppendUint16(value, uint16(a))
		}
	}
	return attribute(0x40, 2, value...)
}

var (
	originIGP = attribute(0x40, 1, 0)
	nextHop4  = attribute(0x40, 3, 192, 0, 2, 10)
)

// update builds an UPDATE message.
func update(withdrawn, attrs, nlri []byte) []byte {
	m := bytes.Repeat([]byte{0xff}, 16)
	m = binary.BigEndian.AppendUint16(m, uint16(23+len(withdrawn)+len(attrs)+len(nlri)))
	m = append(m, 2)
	m = binary.BigEndian.AppendUint16(m, uint16(len(withdrawn)))
	m = append(m, withdrawn...)
	m = binary.BigEndian.AppendUint16(m, uint16(len(attrs)))
	m = append(m, attrs...)
	return append(m, nlri...)
}

// mpReach builds a whole MP_REACH_NLRI attribute.
func mpReach(afi uint16, safi uint8, nextHop, nlri []byte) []byte {
	v := binary.BigEndian.AppendUint16(nil, afi)
	v = append(v, safi, byte(len(nextHop)))
	return attribute(0x80, 14, join(v, nextHop, []byte{0}, nlri)...)
}

// record builds a record with any header.
func record(sec uint32, typ, subtype uint16, body ...byte) []byte {
	return mrt.AppendRecord(nil, &mrt.Record{Timestamp: sec, Type: typ, Subtype: subtype, Body: body})
}

// next reads the one record that b is made of.
func next(t *testing.T, b []byte) mrt.Record {
	t.Helper()
	rec, err := mrt.NewReader(bytes.NewReader(b)).Next()
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return rec
}

// bgpdump returns what bgpdump -m prints for a file of these octets. ok is
// false on a machine without bgpdump.
func bgpdump(t *testing.T, content []byte) (lines []string, ok bool) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "dump.mrt")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return bgpdumpFile(t, name)
}

func bgpdumpFile(t *testing.T, name string) (lines []string, ok bool) {
	t.Helper()
	program, err := exec.LookPath("bgpdump")
	if err != nil {
		return nil, false
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, "-m", name)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("bgpdump: %v\n%s", err, stderr.String())
	}
	// Its own greeting is the only thing allowed there.
	for line := range strings.Lines(stderr.String()) {
		if !strings.Contains(line, "[info] logging to syslog") {
			t.Errorf("bgpdump warns: %s", line)
		}
	}
	for line := range strings.Lines(stdout.String()) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, true
}
