//go:build integration

package integration

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// listing is a view and the routes that it must have.
type listing struct {
	who
	want Table
}

// agrees compares what `ribtap routes` lists with what is wanted of each view.
func (r *Ribtap) agrees(views ...listing) error {
	rows, err := r.Routes()
	if err != nil {
		return err
	}
	var errs []error
	for _, v := range views {
		got, err := table(rows, v.who)
		errs = append(errs, err, differ(v.String(), got, v.want))
	}
	return errors.Join(errs...)
}

// total is the number of routes in all views.
func total(views []listing) (n int) {
	for _, v := range views {
		n += len(v.want)
	}
	return n
}

// key names a route of one view of one peer.
func (r *Route) key() string { return r.PeerAddress + " " + r.RIB + " " + r.Prefix }

// keys names all routes of all views, sorted.
func keys(views []listing) (out []string) {
	for _, v := range views {
		for p := range v.want {
			out = append(out, v.peer+" "+v.rib+" "+p)
		}
	}
	slices.Sort(out)
	return out
}

// changed are the keys of the rows that changed something, each with its
// action, sorted.
func changed(rows []Route) (out []string) {
	for i := range rows {
		if rows[i].Changed {
			out = append(out, rows[i].Action+" "+rows[i].key())
		}
	}
	slices.Sort(out)
	return out
}

// withdrawn checks that the rows are one withdrawal with the cause of each
// route in views, and nothing else.
func withdrawn(t *testing.T, rows []Route, cause string, views []listing) {
	t.Helper()
	var got, want []string
	for i := range rows {
		r := &rows[i]
		got = append(got, fmt.Sprintf("%s %s %t %s", r.Action, r.Cause, r.Changed, r.key()))
	}
	for _, k := range keys(views) {
		want = append(want, "withdraw "+cause+" true "+k)
	}
	if err := same("withdrawals with cause "+cause, got, want); err != nil {
		t.Error(err)
	}
}
