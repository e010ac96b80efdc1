package bmp_test

import (
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bmp"
)

func TestInitiation(t *testing.T) {
	const (
		descr = bmp.InfoSysDescr
		name  = bmp.InfoSysName
		text  = bmp.InfoString
	)
	long := strings.Repeat("n", 65535)
	tests := []struct {
		name        string
		info        []bmp.TLV
		descr, host string
		anomalies   bmp.Anomalies
	}{
		{"FRRouting", []bmp.TLV{bmp.TextTLV(descr, "FRRouting 10.3"), bmp.TextTLV(name, "r1")}, "FRRouting 10.3", "r1", 0},
		{"GoBGP: sysName first", []bmp.TLV{bmp.TextTLV(name, "gobgp"), bmp.TextTLV(descr, "3.36.0")}, "3.36.0", "gobgp", 0},
		{"IOS-XR: leading space, no vendor", []bmp.TLV{bmp.TextTLV(descr, " 7.10.2"), bmp.TextTLV(name, "xr")}, " 7.10.2", "xr", 0},
		{"strings and an unknown TLV", []bmp.TLV{bmp.TextTLV(text, "a"), bmp.TextTLV(text, ""), bmp.TextTLV(name, "r1"), bmp.TextTLV(9, "x")}, "", "r1", 0},
		{"NUL and invalid UTF-8", []bmp.TLV{bmp.TextTLV(name, "a\x00\xffb")}, "", "a\x00\xffb", 0},
		{"two names", []bmp.TLV{bmp.TextTLV(name, "first"), bmp.TextTLV(name, "second")}, "", "first", 0},
		{"64 KiB of name", []bmp.TLV{bmp.TextTLV(name, long)}, "", long, bmp.AnomalySysNameLong},
		{"64 KiB of description", []bmp.TLV{bmp.TextTLV(descr, long), bmp.TextTLV(name, "r1")}, long, "r1", 0},
		{"255 octets of name", []bmp.TLV{bmp.TextTLV(name, long[:255])}, "", long[:255], 0},
		{"256 octets of name", []bmp.TLV{bmp.TextTLV(name, long[:256])}, "", long[:256], bmp.AnomalySysNameLong},
		{"empty name", []bmp.TLV{bmp.TextTLV(descr, "d"), bmp.TextTLV(name, "")}, "d", "", bmp.AnomalyNoSysName},
		{"no name", []bmp.TLV{bmp.TextTLV(descr, "d")}, "d", "", bmp.AnomalyNoSysName},
		{"nothing", nil, "", "", bmp.AnomalyNoSysName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := bmp.AppendInitiation(nil, tt.info...)
			in, err := bmp.ParseInitiation(parse(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			if string(in.SysDescr) != tt.descr || string(in.SysName) != tt.host {
				t.Errorf("sysDescr %.40q sysName %.40q, want %.40q %.40q", in.SysDescr, in.SysName, tt.descr, tt.host)
			}
			if n := len(tlvs(in.Info())); n != len(tt.info) {
				t.Errorf("%d TLVs, want %d", n, len(tt.info))
			}
			wantAnomalies(t, in.Anomalies, tt.anomalies)
		})
	}
}

func TestInitiationWire(t *testing.T) {
	raw := octets(t, "03 ........ 04  0001 0007 20372e31302e32  0002 0002 7872")
	wantOctets(t, "encoded", bmp.AppendInitiation(nil, bmp.TextTLV(bmp.InfoSysDescr, " 7.10.2"), bmp.TextTLV(bmp.InfoSysName, "xr")), raw)

	for name, tail := range map[string]string{"length 65535": "0002 ffff 6162", "no length": "0002 00", "no octets": "0002 0001"} {
		_, err := bmp.ParseInitiation(parse(t, octets(t, "03 ........ 04  0001 0001 61", tail)))
		if e := wantError(t, err, bmp.ClassDrop, bmp.ReasonTLVOverrun); e.Offset != 11 {
			t.Errorf("%s: offset %d, want 11", name, e.Offset)
		}
	}
}

func TestTermination(t *testing.T) {
	tests := []struct {
		name      string
		body      string
		reason    bmp.TerminationReason
		hasReason bool
		text      string
		anomalies bmp.Anomalies
	}{
		{"administrative", "0001 0002 0000", bmp.TerminationAdministrative, true, "", 0},
		{"with a string", "0000 0003 627965  0001 0002 0003", bmp.TerminationRedundant, true, "bye", 0},
		{"undefined reason", "0001 0002 0099", 0x99, true, "", 0},
		{"nothing", "", 0, false, "", bmp.AnomalyTerminationReason},
		{"string alone", "0000 0003 627965", 0, false, "bye", bmp.AnomalyTerminationReason},
		{"reason of three octets", "0001 0003 000000", 0, false, "", bmp.AnomalyCodeLength},
		{"reason of one octet", "0001 0001 01", 0, false, "", bmp.AnomalyCodeLength},
		{"string overruns", "0000 0190 627965", 0, false, "", bmp.AnomalyTLVOverrun | bmp.AnomalyTerminationReason},
		{"overrun behind the reason", "0001 0002 0004 0000 0190", bmp.TerminationPermanent, true, "", bmp.AnomalyTLVOverrun},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			end, err := bmp.ParseTermination(parse(t, octets(t, "03 ........ 05", tt.body)))
			if err != nil {
				t.Fatal(err)
			}
			if end.HasReason != tt.hasReason || end.Reason != tt.reason {
				t.Errorf("reason %d %v, want %d %v", end.Reason, end.HasReason, tt.reason, tt.hasReason)
			}
			var text string
			for _, v := range tlvs(end.Info()) {
				if v.Type == bmp.TerminationString {
					text = string(v.Value)
				}
			}
			if text != tt.text {
				t.Errorf("text %q, want %q", text, tt.text)
			}
			wantAnomalies(t, end.Anomalies, tt.anomalies)
		})
	}
	for r := range bmp.TerminationReason(6) {
		if got := r.String(); (got == "") != (r == 5) {
			t.Errorf("reason %d in words: %q", r, got)
		}
	}
}

func TestTLVName(t *testing.T) {
	tests := []struct {
		space bmp.Space
		typ   uint16
		want  string
	}{
		{bmp.SpaceInitiation, 0, "string"},
		{bmp.SpaceInitiation, 1, "sysdescr"},
		{bmp.SpaceInitiation, 2, "sysname"},
		{bmp.SpaceInitiation, 3, ""},
		{bmp.SpacePeerUp, 0, "string"},
		{bmp.SpacePeerUp, 1, ""},
		{bmp.SpacePeerUp, 3, "table-name"},
		{bmp.SpacePeerUp, 4, "admin-label"},
		{bmp.SpaceTermination, 1, "reason"},
		{bmp.SpaceMirroring, 0, "bgp-message"},
		{bmp.SpaceMirroring, 1, "information"},
		{0, 0, ""},
	}
	for _, tt := range tests {
		if got := bmp.TLVName(tt.space, tt.typ); got != tt.want {
			t.Errorf("type %d of space %d is called %q, want %q", tt.typ, tt.space, got, tt.want)
		}
	}
}

func TestTLVTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a TLV of 65,536 octets was written")
		}
	}()
	bmp.AppendInitiation(nil, bmp.TLV{Value: make([]byte, 65536)})
}
