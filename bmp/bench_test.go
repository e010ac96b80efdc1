package bmp_test

import (
	"testing"

	gobmp "github.com/osrg/gobgp/v3/pkg/packet/bmp"

	"github.com/ribtap/ribtap/bmp"
)

// routeStream is 1,000 Route Monitoring messages of one prefix each, as most
// exporters send them.
func routeStream(tb testing.TB) (stream []byte, n int) {
	tb.Helper()
	raw := octets(tb, "03 ........ 00", peer4, marker,
		"0033 02 0000 0018 40010100 40020a0202 0000fde9 0000fdf2 400304c000020a 18644006")
	for range 1000 {
		stream = append(stream, raw...)
	}
	return stream, 1000
}

func statsMessage(tb testing.TB) []byte {
	tb.Helper()
	return octets(tb, "03 ........ 01", peer4, `00000005
		0000 0004 00000001  0002 0004 00000002  000b 0004 00000003
		0007 0008 0000000000000004  0009 000b 0001 01 0000000000000005`)
}

// BenchmarkFraming reads the stream through a Reader; ns/op is a message's.
func BenchmarkFraming(b *testing.B) {
	stream, n := routeStream(b)
	r := bmp.NewReader(&again{stream: stream}, 0)
	b.SetBytes(int64(len(stream) / n))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStation does what a station does with each message before the BGP
// codec has its turn: framing, both headers, the UPDATE found and checked.
func BenchmarkStation(b *testing.B) {
	stream, n := routeStream(b)
	r := bmp.NewReader(&again{stream: stream}, 0)
	b.SetBytes(int64(len(stream) / n))
	b.ReportAllocs()
	for b.Loop() {
		raw, err := r.Next()
		if err != nil {
			b.Fatal(err)
		}
		m, err := bmp.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := bmp.ParseRouteMonitoring(&m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRouteMonitoring(b *testing.B) {
	stream, n := routeStream(b)
	raw := stream[:len(stream)/n]
	b.Run("ribtap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := bmp.Parse(raw)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := bmp.ParseRouteMonitoring(&m); err != nil {
				b.Fatal(err)
			}
		}
	})
	// gobgp's parser decodes the UPDATE too; Statistics below compares like with like.
	b.Run("gobgp", func(b *testing.B) { benchmarkGoBGP(b, raw) })
}

func BenchmarkStatistics(b *testing.B) {
	raw := statsMessage(b)
	b.Run("ribtap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := bmp.Parse(raw)
			if err != nil {
				b.Fatal(err)
			}
			report, err := bmp.ParseStatsReport(&m)
			if err != nil {
				b.Fatal(err)
			}
			n := uint32(0)
			it := report.Stats()
			for _, ok := it.Next(); ok; _, ok = it.Next() {
				n++
			}
			if n != report.Count {
				b.Fatal(n)
			}
		}
	})
	b.Run("gobgp", func(b *testing.B) { benchmarkGoBGP(b, raw) })
}

func benchmarkGoBGP(b *testing.B, raw []byte) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gobmp.ParseBMPMessage(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendRouteMonitoring(b *testing.B) {
	stream, n := routeStream(b)
	m := parse(b, stream[:len(stream)/n])
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = bmp.AppendRouteMonitoring(dst[:0], &m.Peer, m.Body)
	}
}
