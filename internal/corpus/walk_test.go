package corpus_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/mrt"
)

// kind is what a file holds.
type kind int

const (
	kindSkip kind = iota
	kindMRT
	kindBMP
	kindBGP
	kindCapture
)

func (k kind) String() string { return [...]string{"skip", "mrt", "bmp", "bgp", "capture"}[k] }

// file is a file to compare, or one direction of a TCP connection in a capture.
type file struct {
	name, path string
	kind       kind
	octets     []byte // of a stream
	sum        string // sha256 of the content
	note       string // why it is skipped
	// other is the opposite direction of a BGP stream, if there is one.
	other *file
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:8])
}

// collect classifies the files under root by their content. The streams of a
// capture come after all other files, and only if their octets are not there
// already as a file of their own.
func collect(root string) ([]*file, error) {
	var files, captures []*file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "manifest.json")); err == nil && d.Name() == "hostile" {
				return filepath.SkipDir // cases with an expectation of their own
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := classify(root, path)
		if err != nil {
			return err
		}
		if f.kind == kindCapture {
			captures = append(captures, f)
		} else {
			files = append(files, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	pairBGP(files)
	seen := map[string]string{}
	for _, f := range files {
		seen[f.sum] = f.name
	}
	for _, c := range captures {
		streams, err := extract(c)
		if err != nil {
			return nil, err
		}
		var notes []string
		for _, s := range streams {
			if name, ok := seen[s.sum]; ok {
				notes = append(notes, "is "+filepath.Base(name))
				continue
			}
			seen[s.sum] = s.name
			files = append(files, s)
			notes = append(notes, s.kind.String())
		}
		c.kind, c.note = kindSkip, fmt.Sprintf("capture with %d streams of BMP or BGP: %s", len(streams), strings.Join(notes, ", "))
		files = append(files, c)
	}
	slices.SortStableFunc(files, func(a, b *file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

func classify(root, path string) (*file, error) {
	name, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &file{name: filepath.ToSlash(name), path: path, sum: sumOf(b)}
	switch {
	case len(b) == 0:
		f.note = "empty"
	case isCapture(b):
		f.kind = kindCapture
	case soundBMP(b), filepath.Ext(path) == ".bmp" && (b[0] == 3 || b[0] == 4):
		f.kind, f.octets = kindBMP, b
	case bytes.HasPrefix(b, marker), filepath.Ext(path) == ".bgp":
		f.kind, f.octets = kindBGP, b
	case soundMRT(b):
		f.kind = kindMRT
	default:
		f.note = "neither MRT, BMP, BGP nor a capture"
	}
	return f, nil
}

var marker = bytes.Repeat([]byte{0xff}, 16)

func isCapture(b []byte) bool {
	for _, magic := range []string{"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x0a\x0d\x0d\x0a"} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return false
}

// soundBMP reports whether b begins with BMP messages of version 3 or 4.
func soundBMP(b []byte) bool {
	const maxType, maxLen = 10, 1 << 20
	for n := 0; n < 3 && len(b) > 0; n++ {
		if len(b) < 6 || b[0] != 3 && b[0] != 4 {
			return false
		}
		size := int(binary.BigEndian.Uint32(b[1:]))
		if size < 6 || size > maxLen || b[5] > maxType && b[5] < 100 {
			return false
		}
		b = b[min(size, len(b)):]
	}
	return true
}

// soundMRT reports whether the content, decompressed, begins with MRT records.
func soundMRT(b []byte) bool {
	r, _, err := mrt.Decompress(bytes.NewReader(b))
	if err != nil {
		return false
	}
	head := make([]byte, 12)
	for n := range 2 {
		if _, err := io.ReadFull(r, head); err != nil {
			return n > 0
		}
		typ, sub, size := binary.BigEndian.Uint16(head[4:]), binary.BigEndian.Uint16(head[6:]), binary.BigEndian.Uint32(head[8:])
		if typ < 9 || typ > 64 || sub > 16 || size > 1<<24 {
			return false
		}
		if _, err := io.CopyN(io.Discard, r, int64(size)); err != nil {
			return n > 0
		}
	}
	return true
}

// directionName matches a file that holds one direction of a connection: the
// two differ in the source port.
var directionName = regexp.MustCompile(`^(.*)p(\d+)(r\d+)?\.bgp$`)

func pairBGP(files []*file) {
	first := map[string]*file{}
	for _, f := range files {
		m := directionName.FindStringSubmatch(f.name)
		if f.kind != kindBGP || m == nil {
			continue
		}
		if o := first[m[1]]; o != nil && o.other == nil && m[3] == "" {
			f.other, o.other = o, f
		} else if m[3] == "" {
			first[m[1]] = f
		}
	}
}

// segment is one piece of a TCP stream.
type segment struct {
	seq     uint32
	syn     bool
	payload []byte
}

// extract takes the TCP payloads out of a capture that are BMP or BGP. tshark
// reads the link and network layers; the payloads are joined here.
func extract(c *file) ([]*file, error) {
	fields := []string{"tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "tcp.seq_raw", "tcp.flags.syn", "tcp.payload"}
	args := []string{"-n", "-r", c.path, "-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("tshark -r %s: %w", c.name, err)
	}
	segments := map[string][]segment{}
	var order []string
	for line := range strings.Lines(string(out)) {
		col := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(col) != len(fields) || col[0] == "" {
			continue
		}
		key := fmt.Sprintf("%s %s%s %s", col[0], col[1], col[2], col[3])
		seq, err := strconv.ParseUint(col[4], 10, 32)
		if err != nil {
			continue
		}
		payload, err := hex.DecodeString(col[6])
		if err != nil {
			continue
		}
		if segments[key] == nil {
			order = append(order, key)
		}
		segments[key] = append(segments[key], segment{uint32(seq), col[5] == "1" || col[5] == "True", payload})
	}
	var streams []*file
	opposite := map[string]*file{}
	for _, key := range order {
		b := join(segments[key])
		var k kind
		switch {
		case bytes.HasPrefix(b, marker):
			k = kindBGP
		case len(b) >= 6 && soundBMP(b):
			k = kindBMP
		default:
			continue
		}
		col := strings.Fields(key)
		f := &file{name: fmt.Sprintf("%s.s%sp%s", c.name, col[0], col[len(col)-1]), kind: k, octets: b, sum: sumOf(b)}
		if k == kindBGP {
			if o := opposite[col[0]]; o != nil {
				f.other, o.other = o, f
			} else {
				opposite[col[0]] = f
			}
		}
		streams = append(streams, f)
	}
	return streams, nil
}

// join puts the segments of one direction in order, up to the first hole.
func join(s []segment) []byte {
	if len(s) == 0 {
		return nil
	}
	start := s[0].seq
	for _, one := range s {
		if int32(one.seq-start) < 0 {
			start = one.seq
		}
	}
	slices.SortStableFunc(s, func(a, b segment) int { return int(int32(a.seq-start)) - int(int32(b.seq-start)) })
	var out []byte
	next, begun := start, false
	for _, one := range s {
		if one.syn {
			if !begun {
				next = one.seq + 1
			}
			continue
		}
		if len(one.payload) == 0 {
			continue
		}
		if !begun && int32(one.seq-next) > 0 {
			next = one.seq // acknowledgements alone stood before it
		}
		begun = true
		skip := int(int32(next - one.seq))
		switch {
		case skip < 0:
			return out
		case skip >= len(one.payload):
			continue
		}
		out = append(out, one.payload[skip:]...)
		next = one.seq + uint32(len(one.payload))
	}
	return out
}

// openOf finds the first OPEN of a stream.
func openOf(f *file) (bgp.Open, bool) {
	if f == nil {
		return bgp.Open{}, false
	}
	for b := f.octets; len(b) > 0; {
		msg, rest, err := bgp.SplitMessage(b, bgp.MaxExtendedMessageLen)
		if err != nil || msg == nil {
			break
		}
		if bgp.MessageType(msg) == bgp.MessageOpen {
			o, err := bgp.ParseOpen(msg)
			return o, err == nil
		}
		b = rest
	}
	return bgp.Open{}, false
}
