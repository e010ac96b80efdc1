package corpus_test

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/internal/corpus"
)

// updateOf makes an UPDATE of its three fields.
func updateOf(withdrawn, attrs, nlri []byte) []byte {
	b := append(slices.Clone(marker), 0, 0, 2)
	b = binary.BigEndian.AppendUint16(b, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	b = append(append(b, attrs...), nlri...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("corpus: " + err.Error())
	}
	return b
}

// mrtOf makes a record.
func mrtOf(typ, subtype uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 1700000000)
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, typ), subtype)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
}

// bgp4mp makes a record of a message between AS 65001 and AS 65000.
func bgp4mp(subtype uint16, pdu []byte) []byte {
	return mrtOf(16, subtype, append(unhex("0000fde9"+"0000fde8"+"0000"+"0001"+"c000020a"+"c0000201"), pdu...))
}

// sound are ORIGIN, AS_PATH and NEXT_HOP without an error.
const sound = "40010100" + "40020602010000fde9" + "400304c000020a"

// synthetic has a file for each class of which the public files have no case.
func synthetic() map[string][]byte {
	attrs := unhex(sound)
	var many []byte
	for i := range 9000 {
		many = append(many, 24, 10, byte(i>>8), byte(i))
	}
	index := mrtOf(13, 1, unhex("c0000201"+"0000"+"0001"+"02"+"c000020a"+"c000020a"+"0000fde9"))
	entry := func(attrs string) string {
		b := unhex(attrs)
		return "0000" + "65000000" + hex.EncodeToString([]byte{byte(len(b) >> 8), byte(len(b))}) + attrs
	}
	rib := func(count, entries string) []byte { return mrtOf(13, 2, unhex("00000000"+"080a"+count+entries)) }
	end := updateOf(nil, attrs, []byte{8, 11}) // a sound message behind the case
	stream := func(b []byte) []byte { return append(b, end...) }
	return map[string][]byte{
		"bgpdump-local.mrt":           slices.Concat(bgp4mp(4, end), bgp4mp(7, updateOf(nil, attrs, []byte{8, 10}))),
		"bgpdump-8192.mrt":            bgp4mp(4, updateOf(nil, attrs, many)),
		"bgpdump-damaged.mrt":         slices.Concat(index, rib("0003", entry(sound))),
		"tshark-unknown.bmp":          slices.Concat(unhex("03"+"00000006"+"04"), unhex("03"+"0000000a"+"64"+"01020304")),
		"tshark-family.bgp":           stream(updateOf(nil, append(unhex("800e0f"+"00194604c000020a00"+"0c04"+"01020304"), attrs...), nil)),
		"tshark-remark.bgp":           stream(unhex("ffffffffffffffffffffffffffffffff" + "0024" + "01" + "04" + "fde9" + "00b4" + "c000020a" + "07" + "0205" + "4503000101")),
		"tshark-guesses-add-path.bgp": stream(updateOf(nil, attrs, unhex("00000014"+"18080200"+"00000015"+"18080201"+"00000016"+"18080202"))),
		"gobgp-panic.bgp":             stream(updateOf(nil, append(unhex("800e03"+"000101"), attrs...), nil)),
		"gobgp-unused-flags.bgp":      stream(updateOf(nil, unhex("4f010100"+sound[8:]), []byte{8, 10})),
		"gobgp-family.bgp":            stream(updateOf(nil, append(unhex("800e0f"+"00194604c000020a00"+"0c04"+"01020304"), attrs...), nil)),
		"gobgp-attribute.bgp":         stream(updateOf(nil, append(attrs, unhex("40060101")...), []byte{8, 10})),
	}
}

// TestCorpusClasses makes a file for each class that the public files do not
// show, so that no row of the table stands there unproven.
func TestCorpusClasses(t *testing.T) {
	if corpus.Dir() == "" {
		return
	}
	dir := t.TempDir()
	for name, b := range synthetic() {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := collect(dir)
	if err != nil {
		t.Fatal(err)
	}
	results := compareMRT(t, files)
	results = append(results, compareStreams(t, files, kindBMP)...)
	results = append(results, compareStreams(t, files, kindBGP)...)
	if len(results) != len(synthetic()) {
		t.Errorf("%d of %d files read", len(results), len(synthetic()))
	}
	for _, r := range results {
		t.Log(r.line())
		want := r.name[:len(r.name)-len(filepath.Ext(r.name))]
		if r.differ[want] == 0 || len(r.unexplained) > 0 {
			t.Errorf("%s: no difference of this class; %v", r.name, r.unexplained)
		}
	}
}
