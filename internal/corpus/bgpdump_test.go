package corpus_test

import (
	"bufio"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/mrt"
)

// runBgpdump takes away from left what bgpdump prints.
func (m *mrtFile) runBgpdump(t *testing.T, f *file) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bgpdump", "-m", decompressed(t, f))
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(pipe)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		m.theirLine(s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	switch err := cmd.Wait(); {
	case err == nil:
	case m.damaged:
		m.r.differs("bgpdump-damaged", 1)
	default:
		m.r.fail("bgpdump: %v", err)
	}
}

// decompressed returns the path of the file's content: bgpdump tells a
// container by the name alone, and knows no zstd.
func decompressed(t *testing.T, f *file) string {
	t.Helper()
	in, err := os.Open(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	plain, format, err := mrt.Decompress(in)
	if err != nil {
		t.Fatal(err)
	}
	if format == mrt.Plain && !strings.Contains(f.path, ".gz") && !strings.Contains(f.path, ".bz2") {
		return f.path
	}
	out, err := os.CreateTemp(t.TempDir(), "*.mrt")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	_, _ = out.ReadFrom(plain) // what is behind damage, neither side reads
	return out.Name()
}

func (m *mrtFile) theirLine(text string) {
	_, rest, ok := strings.Cut(text, "|")
	if !ok {
		m.r.fail("bgpdump: %s", text)
		return
	}
	at, rest, _ := strings.Cut(rest, "|")
	letter, rest, _ := strings.Cut(rest, "|")
	switch letter {
	case "A", "B":
		m.r.theirs.announce++
	case "W":
		m.r.theirs.withdraw++
	case "STATE":
		peer, tail, _ := strings.Cut(rest, "|")
		asn, states, _ := strings.Cut(tail, "|")
		rest = peer + "|" + asn
		switch from, to, _ := strings.Cut(states, "|"); {
		case to == "6" && from != "6":
			m.r.theirs.up++
		case from == "6" && to != "6":
			m.r.theirs.down++
		}
	}
	line := trimTime(at) + "|" + letter + "|" + canonical(rest)
	if l := m.left[line]; l != nil {
		if l.n--; l.n == 0 {
			delete(m.left, line)
		}
		return
	}
	m.theirs = append(m.theirs, line)
}

// canonical writes IPv6 addresses as RFC 5952 has it: bgpdump shortens a single
// group of zeros too.
func canonical(line string) string {
	if !strings.Contains(line, "::") {
		return line
	}
	col := strings.Split(line, "|")
	for i, c := range col {
		if a, err := netip.ParseAddr(c); err == nil {
			col[i] = a.String()
		} else if p, err := netip.ParsePrefix(c); err == nil {
			col[i] = p.String()
		}
	}
	return strings.Join(col, "|")
}

// head is the part of a line that names the route: up to the prefix.
func head(line string) string {
	col := strings.SplitN(line, "|", 6)
	if len(col) < 5 {
		return line
	}
	return strings.Join(col[:5], "|")
}

// settle explains what is left on both sides.
func (m *mrtFile) settle() {
	theirs := map[string][]string{}
	for _, line := range m.theirs {
		theirs[head(line)] = append(theirs[head(line)], line)
	}
	for line, l := range m.left {
		for range l.n {
			m.explain(line, l, theirs)
		}
	}
	for _, lines := range theirs {
		for _, line := range lines {
			m.theirsAlone(line)
		}
	}
}

// explain accounts for one line of ours that bgpdump did not print.
func (m *mrtFile) explain(line string, l *ourLine, theirs map[string][]string) {
	c, ok := classes[l.class]
	switch {
	case !ok && m.damaged:
		m.r.differs("bgpdump-damaged", 1)
		return
	case !ok:
		m.r.fail("not of bgpdump: %s", line)
		return
	case c.other == otherNothing:
		m.r.differs(l.class, 1)
		return
	}
	want := []string{head(line)}
	if c.other == otherAnnounces {
		want = []string{strings.Replace(want[0], "|W|", "|A|", 1), strings.Replace(want[0], "|W|", "|B|", 1)}
	}
	for _, h := range want {
		i := 0
		if l.alt != "" {
			i = slices.Index(theirs[h], l.alt)
		}
		if i < 0 || i >= len(theirs[h]) {
			continue
		}
		theirs[h] = slices.Delete(theirs[h], i, i+1)
		m.r.differs(l.class, 1)
		return
	}
	m.r.fail("not of bgpdump, nor as class %s would have it: %s", l.class, line)
}

// theirsAlone accounts for a line of bgpdump's for which there is no route here.
func (m *mrtFile) theirsAlone(line string) {
	col := strings.SplitN(line, "|", 5)
	switch {
	case len(col) == 5 && m.dropped[col[0]+"|"+col[2]+"|"+col[3]]:
		m.r.differs("bgpdump-dropped-message", 1)
	case len(col) == 5 && m.sent[col[0]+"|"+col[2]+"|"+col[3]]:
		m.r.differs("bgpdump-local", 1)
	case m.damaged:
		m.r.differs("bgpdump-damaged", 1)
	default:
		m.r.fail("of bgpdump alone: %s", line)
	}
}

// maxPrefixes is what bgpdump keeps of one NLRI field.
const maxPrefixes = 8192

// mrtClass says which difference a route makes, or "".
func (m *mrtFile) mrtClass(rec recordKind, r *bgp.Route, n int) string {
	switch {
	case rec.typ == mrt.TypeBGP4MP && rec.subtype == mrt.SubtypeEntry:
		return "bgpdump-no-entry"
	case rec.typ == mrt.TypeTableDumpV2 && (rec.subtype == mrt.SubtypeRIBGeneric || rec.subtype == mrt.SubtypeRIBGenericAddPath):
		return "bgpdump-no-rib-generic"
	case !isPlain(r.NLRI.Family):
		return "bgpdump-family"
	case r.TreatAsWithdraw:
		return "bgpdump-treat-as-withdraw"
	case m.u.Verdict() == bgp.VerdictAttributeDiscard:
		return "bgpdump-attribute-discard"
	case n >= maxPrefixes:
		return "bgpdump-8192"
	}
	return ""
}

// isPlain reports whether bgpdump prints routes of the family.
func isPlain(f bgp.Family) bool {
	return f == bgp.IPv4Unicast || f == bgp.IPv6Unicast || f == bgp.IPv4Multicast || f == bgp.IPv6Multicast
}
