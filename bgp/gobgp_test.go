package bgp_test

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/corpus"
)

// gobgpRoutes reads msg with gobgp and lists its IPv4 and IPv6 unicast routes
// as unicast does. refused says what gobgp has against the message: it panics
// on some.
func gobgpRoutes(msg []byte) (out []string, refused string) {
	defer func() {
		if p := recover(); p != nil {
			refused = fmt.Sprint("panic: ", p)
		}
	}()
	m, err := gobgp.ParseBGPMessage(msg)
	if err != nil {
		return nil, err.Error()
	}
	u, ok := m.Body.(*gobgp.BGPUpdate)
	if !ok {
		return nil, "not an UPDATE"
	}
	add := func(sign string, nlri gobgp.AddrPrefixInterface) {
		p, err := netip.ParsePrefix(nlri.String())
		if err != nil {
			out = append(out, sign+nlri.String())
			return
		}
		out = append(out, sign+p.Masked().String())
	}
	for _, n := range u.WithdrawnRoutes {
		add("-", n)
	}
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *gobgp.PathAttributeMpReachNLRI:
			if isUnicast(bgp.NewFamily(bgp.AFI(a.AFI), bgp.SAFI(a.SAFI))) {
				for _, n := range a.Value {
					add("+", n)
				}
			}
		case *gobgp.PathAttributeMpUnreachNLRI:
			if isUnicast(bgp.NewFamily(bgp.AFI(a.AFI), bgp.SAFI(a.SAFI))) {
				for _, n := range a.Value {
					add("-", n)
				}
			}
		}
	}
	for _, n := range u.NLRI {
		add("+", n)
	}
	return out, ""
}

func isUnicast(f bgp.Family) bool { return f == bgp.IPv4Unicast || f == bgp.IPv6Unicast }

// unicast lists the unicast routes of an UPDATE, announcements as announcements
// whatever the verdict.
func unicast(u *bgp.Update) []string {
	var out []string
	for it := u.Routes(); it.Next(); {
		r := it.Route()
		switch {
		case !isUnicast(r.NLRI.Family):
		case r.Action == bgp.Announce || r.TreatAsWithdraw:
			out = append(out, "+"+r.NLRI.Prefix.String())
		default:
			out = append(out, "-"+r.NLRI.Prefix.String())
		}
	}
	return out
}

// TestAgainstGoBGP compares the unicast routes of every UPDATE of a corpus with
// gobgp's. Where both can read a message they must agree.
func TestAgainstGoBGP(t *testing.T) {
	messages := append(corpusUpdates(t), mrtUpdates(t)...)
	for _, tc := range verdictCases(t) {
		messages = append(messages, corpusUpdate{file: tc.name, msg: tc.msg, as4: true})
	}
	var agree, oursAlone, gobgpAlone, both, disagree int
	for _, m := range messages {
		var u bgp.Update
		u.Parse(m.msg, bgp.Session{AS4: m.as4})
		theirs, refused := gobgpRoutes(slices.Clone(m.msg))
		switch reset := u.Verdict() == bgp.VerdictSessionReset; {
		case refused != "" && reset:
			both++
		case refused != "":
			oursAlone++
			logSome(t, oursAlone, "gobgp refuses %s: %s; here %v %v", m.file, refused, u.Verdict(), unicast(&u))
		case reset:
			gobgpAlone++
			logSome(t, gobgpAlone, "refused here %s: %+v; gobgp %v: % x", m.file, u.Findings(), theirs, m.msg)
		case slices.Equal(theirs, unicast(&u)):
			agree++
		default:
			disagree++
			if disagree <= 5 {
				t.Errorf("%s: gobgp %v, here %v %v: % x", m.file, theirs, u.Verdict(), unicast(&u), m.msg)
			}
		}
	}
	t.Logf("%d UPDATEs: agree %d, both refuse %d, gobgp alone refuses %d, refused here alone %d, disagree %d",
		len(messages), agree, both, oursAlone, gobgpAlone, disagree)
}

// logSome logs the first few of many.
func logSome(t *testing.T, n int, format string, args ...any) {
	if n <= 12 {
		s := fmt.Sprintf(format, args...)
		t.Log(s[:min(len(s), 400)])
	}
}

// mrtUpdates collects the UPDATEs of the BGP4MP records of the corpus.
func mrtUpdates(tb testing.TB) []corpusUpdate {
	tb.Helper()
	if corpus.Data() == "" {
		return nil
	}
	var out []corpusUpdate
	err := filepath.WalkDir(filepath.Join(corpus.Data(), "mrt"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "update") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		var r io.Reader
		switch filepath.Ext(path) {
		case ".gz":
			if r, err = gzip.NewReader(f); err != nil {
				return err
			}
		case ".bz2":
			r = bzip2.NewReader(f)
		default:
			return nil
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		out = appendMRTUpdates(out, filepath.Base(path), b)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func appendMRTUpdates(out []corpusUpdate, file string, b []byte) []corpusUpdate {
	const header, bgp4mp, bgp4mpET, message, messageAS4 = 12, 16, 17, 1, 4
	for len(b) >= header {
		typ, subtype := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
		end := header + int(binary.BigEndian.Uint32(b[8:]))
		if end > len(b) {
			return out
		}
		body := b[header:end]
		b = b[end:]
		if typ != bgp4mp && typ != bgp4mpET || subtype != message && subtype != messageAS4 {
			continue
		}
		at := bytes.Index(body, bytes.Repeat([]byte{0xff}, 16))
		if at < 0 || bgp.MessageType(body[at:]) != bgp.MessageUpdate {
			continue
		}
		out = append(out, corpusUpdate{file: file, msg: body[at:], as4: subtype == messageAS4})
	}
	return out
}
