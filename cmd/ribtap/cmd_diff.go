package main

import (
	"context"
	"iter"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/sinks/sqlite"
)

// diffRow is one difference.
type diffRow struct {
	// Change is added, removed or changed, from the first side to the second.
	Change            string  `json:"change"`
	Router            *string `json:"router"`
	PeerAddress       *string `json:"peer_address"`
	PeerDistinguisher *string `json:"peer_distinguisher"`
	RIB               *string `json:"rib"`
	Family            string  `json:"family"`
	Prefix            string  `json:"prefix"`
	PathID            *uint32 `json:"path_id"`
	RD                *string `json:"rd"`
	// Differs names the columns that differ, for a change.
	Differs []string           `json:"differs"`
	Old     *sqlite.Attributes `json:"old"`
	New     *sqlite.Attributes `json:"new"`
	OldPath *string            `json:"old_as_path"`
	NewPath *string            `json:"new_as_path"`
	OldHop  *string            `json:"old_next_hop"`
	NewHop  *string            `json:"new_next_hop"`
}

var diffTable = []column{
	{"CHANGE", "change", narrow},
	{"ROUTER", "router", narrow},
	{"PEER", "peer_address", narrow},
	{"RIB", "rib", narrow},
	{"FAMILY", "family", wide},
	{"RD", "rd", wide},
	{"PREFIX", "prefix", narrow},
	{"ID", "path_id", wide},
	{"DIFFERS", "differs", narrow},
	{"OLD PATH", "old_as_path", narrow},
	{"NEW PATH", "new_as_path", narrow},
	{"OLD HOP", "old_next_hop", wide},
	{"NEW HOP", "new_next_hop", wide},
}

// diffSides are the flags that make the second side of a diff differ.
type diffSides struct{ at, toAt, toRIB, toPeer, toRouter string }

func (a *app) diffCommand() *cobra.Command {
	var sides diffSides
	cmd := &cobra.Command{
		Use:   "diff [PREFIX or IP]",
		Short: "compare two times, two RIBs, two peers or two routers",
		Long: "Compares the routes of two sides and, like diff(1), ends with 0 when they are alike and with 1 when not.\n" +
			"The second side is the first one but for what the --to-… flags say:\n\n" +
			"  ribtap diff --at -1h --to-at now                                  what changed in the last hour\n" +
			"  ribtap diff --rib adj-rib-in-pre --to-rib adj-rib-in-post         what policy does\n" +
			"  ribtap diff --peer 192.0.2.1 --to-peer 192.0.2.2                  what one neighbour has and another not\n" +
			"  ribtap diff --router edge1 --to-router edge2",
		Args: cobra.MaximumNArgs(1),
	}
	filters := filterFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&sides.at, "at", "", "time of the first side (default now)")
	f.StringVar(&sides.toAt, "to-at", "", "time of the second side (default now, if --at is given)")
	f.StringVar(&sides.toRIB, "to-rib", "", "RIB of the second side; --rib is that of the first")
	f.StringVar(&sides.toPeer, "to-peer", "", "peer of the second side; --peer is that of the first")
	f.StringVar(&sides.toRouter, "to-router", "", "router of the second side; --router is that of the first")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		left, right, err := sides.queries(filters, args)
		if err != nil {
			return err
		}
		return a.diff(cmd.Context(), left, right, sides)
	}
	return cmd
}

// queries makes the two questions.
func (s *diffSides) queries(filters url.Values, args []string) (left, right sqlite.Query, err error) {
	second := url.Values{}
	maps.Copy(second, filters)
	compared := 0
	for _, side := range []struct{ name, to string }{{"rib", s.toRIB}, {"peer", s.toPeer}, {"router", s.toRouter}} {
		if side.to == "" {
			continue
		}
		compared++
		if filters.Get(side.name) == "" {
			return left, right, usagef("--to-%s needs --%s, the first side", side.name, side.name)
		}
		second.Set(side.name, side.to)
	}
	if s.at != "" || s.toAt != "" {
		compared++
	}
	if compared == 0 {
		return left, right, usagef("diff needs two sides: --at and --to-at, or one of --to-rib, --to-peer, --to-router")
	}
	if left, err = filtered(filters, args); err != nil {
		return left, right, err
	}
	if right, err = filtered(second, args); err != nil {
		return left, right, err
	}
	if left.At, err = timeFlag("at", s.at); err != nil {
		return left, right, err
	}
	right.At, err = timeFlag("to-at", s.toAt)
	if s.toAt == "" && compared > 1 {
		right.At = left.At // something else is compared, at one time
	}
	return left, right, err
}

// diffKey is what makes two routes of the two sides the same route: all of its
// key but for what is being compared.
type diffKey struct {
	router, routerAddress, peer, distinguisher, rib, family, prefix, rd string
	pathID                                                              uint32
	hasPathID                                                           bool
}

func (s *diffSides) key(r *sqlite.Route) diffKey {
	k := diffKey{
		router: r.Router, routerAddress: text(r.RouterAddress), peer: text(r.PeerAddress), distinguisher: text(r.PeerDistinguisher),
		rib: text(r.RIB), family: r.Family, prefix: r.Prefix, rd: text(r.RD),
	}
	if r.PathID != nil {
		k.pathID, k.hasPathID = *r.PathID, true
	}
	if s.toRouter != "" {
		k.router, k.routerAddress = "", ""
	}
	if s.toPeer != "" {
		k.peer, k.distinguisher = "", ""
	}
	if s.toRIB != "" {
		k.rib = ""
	}
	return k
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// diff keeps the first side in memory and walks the second.
func (a *app) diff(ctx context.Context, left, right sqlite.Query, sides diffSides) error {
	r, err := a.history()
	if err != nil {
		return err
	}
	defer r.Close()
	first := map[diffKey]sqlite.Route{}
	for row, err := range r.Routes(ctx, left) {
		if err != nil {
			return err
		}
		first[sides.key(&row)] = row
	}
	same := true
	if err := writeRows(a, diffTable, differences(first, r.Routes(ctx, right), sides, &same)); err != nil {
		return err
	}
	if !same {
		return &exitError{exitFailure, nil}
	}
	return nil
}

// differences gives what the second side has otherwise, in its order, and then
// what it does not have. It takes from first what it has seen.
func differences(first map[diffKey]sqlite.Route, second iter.Seq2[sqlite.Route, error], sides diffSides, same *bool) iter.Seq2[diffRow, error] {
	return func(yield func(diffRow, error) bool) {
		for row, err := range second {
			if err != nil {
				yield(diffRow{}, err)
				return
			}
			key := sides.key(&row)
			old, ok := first[key]
			delete(first, key)
			d := newDiffRow("added", &row)
			d.setNew(&row.Attributes)
			if ok {
				d.Change = "changed"
				d.setOld(&old.Attributes)
				if d.Differs = differing(&old.Attributes, &row.Attributes); len(d.Differs) == 0 {
					continue
				}
			}
			*same = false
			if !yield(d, nil) {
				return
			}
		}
		rest := make([]diffRow, 0, len(first))
		for _, row := range first {
			d := newDiffRow("removed", &row)
			d.setOld(&row.Attributes)
			rest = append(rest, d)
		}
		slices.SortFunc(rest, func(a, b diffRow) int {
			return strings.Compare(a.Family+" "+a.Prefix+" "+text(a.Router)+" "+text(a.PeerAddress)+" "+text(a.RIB), b.Family+" "+b.Prefix+" "+text(b.Router)+" "+text(b.PeerAddress)+" "+text(b.RIB))
		})
		for _, d := range rest {
			*same = false
			if !yield(d, nil) {
				return
			}
		}
	}
}

func newDiffRow(change string, r *sqlite.Route) diffRow {
	return diffRow{
		Change: change, Router: &r.Router, PeerAddress: r.PeerAddress, PeerDistinguisher: r.PeerDistinguisher, RIB: r.RIB,
		Family: r.Family, Prefix: r.Prefix, PathID: r.PathID, RD: r.RD, Differs: []string{},
	}
}

func (d *diffRow) setOld(a *sqlite.Attributes) { d.Old, d.OldPath, d.OldHop = a, a.ASPath, a.NextHop }
func (d *diffRow) setNew(a *sqlite.Attributes) { d.New, d.NewPath, d.NewHop = a, a.ASPath, a.NextHop }

// attributeFields are the columns of Attributes, found once.
var attributeFields = fieldsOf(reflect.TypeFor[sqlite.Attributes]())

// differing names the columns in which two sets of attributes differ.
func differing(a, b *sqlite.Attributes) []string {
	var names []string
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for _, f := range attributeFields {
		if cell(va.FieldByIndex(f.index)) != cell(vb.FieldByIndex(f.index)) {
			names = append(names, f.name)
		}
	}
	return names
}
