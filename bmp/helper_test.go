package bmp_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bmp"
)

// octets turns hexadecimal digits into octets. White space and what follows a #
// on a line do not count; eight dots stand for the length of the whole.
func octets(tb testing.TB, text ...string) []byte {
	tb.Helper()
	var digits strings.Builder
	lengthAt := -1
	for line := range strings.Lines(strings.Join(text, "\n")) {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsSeq(line) {
			if word == "........" {
				lengthAt = digits.Len() / 2
				word = "00000000"
			}
			digits.WriteString(word)
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		tb.Fatalf("test data: %v", err)
	}
	if lengthAt >= 0 {
		binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)))
	}
	return b
}

// Parts that many messages share.
const (
	peer4 = `
		00 00                                # global instance, before policy
		0000000000000000                     # distinguisher
		000000000000000000000000 c000020a    # 192.0.2.10
		0000fde9 c000020a                    # AS 65001, BGP Identifier
		6553f100 0001e240                    # 2023-11-14 22:13:20.123456`
	peerLocRIB = `
		03 80                                # Loc-RIB, filtered
		0000000000000000
		00000000000000000000000000000000
		0000fde8 c0000201 00000000 00000000`
	marker       = "ffffffffffffffffffffffffffffffff"
	update       = marker + " 0017 02 0000 0000"
	keepalive    = marker + " 0013 04"
	notification = marker + " 0015 03 06 02"
	openSent     = marker + " 001d 01 04 fde8 00b4 c0000201 00"
	openReceived = marker + " 001d 01 04 fde9 005a c000020a 00"
	localAddress = "000000000000000000000000 c0000201 00b3 9c41"
)

// parse reads the headers and fails the test when that does not work.
func parse(tb testing.TB, raw []byte) *bmp.Message {
	tb.Helper()
	m, err := bmp.Parse(raw)
	if err != nil {
		tb.Fatalf("Parse: %v", err)
	}
	return &m
}

// wantError checks that err is an *Error of the class and reason.
func wantError(tb testing.TB, err error, class bmp.Class, reason string) *bmp.Error {
	tb.Helper()
	var e *bmp.Error
	if !errors.As(err, &e) {
		tb.Fatalf("error %v, want an *Error %s %s", err, class, reason)
	}
	if e.Class != class || e.Reason != reason {
		tb.Fatalf("error %v: class %s reason %s, want %s %s", err, e.Class, e.Reason, class, reason)
	}
	if !strings.HasPrefix(e.Error(), "bmp: ") {
		tb.Errorf("error %q does not begin with the package name", e)
	}
	return e
}

func wantAnomalies(tb testing.TB, got, want bmp.Anomalies) {
	tb.Helper()
	if got != want {
		tb.Errorf("anomalies %q, want %q", got, want)
	}
}

func wantOctets(tb testing.TB, what string, got, want []byte) {
	tb.Helper()
	if string(got) != string(want) {
		tb.Errorf("%s\n got %x\nwant %x", what, got, want)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// body reads the body of m by its type and returns the anomalies of both, and
// the message written again from what was read.
func body(m *bmp.Message) (found bmp.Anomalies, again []byte, err error) {
	found = m.Anomalies
	if !m.Known {
		return found, m.Raw, nil
	}
	switch m.Type {
	case bmp.TypeRouteMonitoring:
		v, err := bmp.ParseRouteMonitoring(m)
		return found | v.Anomalies, bmp.AppendRouteMonitoring(nil, &m.Peer, slices.Concat(v.PDU, v.Tail)), err
	case bmp.TypeStatistics:
		v, err := bmp.ParseStatsReport(m)
		var stats []bmp.Stat
		it := v.Stats()
		for s, ok := it.Next(); ok; s, ok = it.Next() {
			stats = append(stats, s)
		}
		return found | v.Anomalies, bmp.AppendStats(nil, &m.Peer, stats), err
	case bmp.TypePeerDown:
		v, err := bmp.ParsePeerDown(m)
		return found | v.Anomalies, bmp.AppendPeerDown(nil, &m.Peer, v.Reason, v.Data), err
	case bmp.TypePeerUp:
		v, err := bmp.ParsePeerUp(m)
		return found | v.Anomalies, bmp.AppendPeerUp(nil, &m.Peer, &v), err
	case bmp.TypeInitiation:
		v, err := bmp.ParseInitiation(m)
		return found | v.Anomalies, bmp.AppendInitiation(nil, tlvs(v.Info())...), err
	case bmp.TypeTermination:
		v, err := bmp.ParseTermination(m)
		return found | v.Anomalies, bmp.AppendTermination(nil, tlvs(v.Info())...), err
	case bmp.TypeRouteMirroring:
		v, err := bmp.ParseRouteMirroring(m)
		return found | v.Anomalies, bmp.AppendRouteMirroring(nil, &m.Peer, tlvs(v.Info())...), err
	}
	return found, m.Raw, nil
}

func tlvs(t bmp.TLVs) []bmp.TLV {
	var all []bmp.TLV
	for v, ok := t.Next(); ok; v, ok = t.Next() {
		all = append(all, v)
	}
	return all
}
