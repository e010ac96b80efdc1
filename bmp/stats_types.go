package bmp

// statForm is how a statistic's value is laid out (RFC 7854 §4.8).
type statForm uint8

const (
	formUnknown     statForm = iota
	formCounter              // value[4]
	formGauge                // value[8]
	formFamilyGauge          // AFI[2] SAFI[1] value[8]
)

// size returns how many octets a value of the form has, 0 for formUnknown.
func (f statForm) size() int {
	switch f {
	case formCounter:
		return 4
	case formGauge:
		return 8
	case formFamilyGauge:
		return 11
	case formUnknown:
	}
	return 0
}

// formBySize guesses the form of a type that is not in the table.
func formBySize(n int) statForm {
	switch n {
	case formCounter.size():
		return formCounter
	case formGauge.size():
		return formGauge
	}
	return formUnknown
}

// statRow is one statistics type.
type statRow struct {
	typ  uint16
	form statForm
	// experimental is set for a number that each vendor uses as it likes
	// (RFC 7854 §10.4), so that no size is wrong.
	experimental bool
	name         string
}

// fits reports whether n octets are no anomaly.
func (r *statRow) fits(n int) bool {
	return r.form == formUnknown || r.experimental || n == r.form.size()
}

// statRows has the types 0 to 43 at their own index, then the others (IANA
// bmp-parameters, statistics types). In names, family is per AFI/SAFI, pre and
// post are before and after policy; 24 and 25 are not assigned.
var statRows = [...]statRow{
	// RFC 7854 §4.8
	{0, formCounter, false, "prefixes-rejected-by-inbound-policy"},
	{1, formCounter, false, "duplicate-prefix-advertisements"},
	{2, formCounter, false, "duplicate-withdraws"},
	{3, formCounter, false, "updates-invalidated-by-cluster-list-loop"},
	{4, formCounter, false, "updates-invalidated-by-as-path-loop"},
	{5, formCounter, false, "updates-invalidated-by-originator-id"},
	{6, formCounter, false, "updates-invalidated-by-as-confed-loop"},
	{7, formGauge, false, "routes-adj-rib-in"},
	{8, formGauge, false, "routes-loc-rib"},
	{9, formFamilyGauge, false, "routes-adj-rib-in-family"},
	{10, formFamilyGauge, false, "routes-loc-rib-family"},
	{11, formCounter, false, "updates-treated-as-withdraw"},
	{12, formCounter, false, "prefixes-treated-as-withdraw"},
	{13, formCounter, false, "duplicate-updates"},
	// RFC 8671 §6.2
	{14, formGauge, false, "routes-adj-rib-out-pre"},
	{15, formGauge, false, "routes-adj-rib-out-post"},
	{16, formFamilyGauge, false, "routes-adj-rib-out-pre-family"},
	{17, formFamilyGauge, false, "routes-adj-rib-out-post-family"},
	// RFC 9972 §3.2
	{18, formGauge, false, "routes-adj-rib-in-pre"},
	{19, formFamilyGauge, false, "routes-adj-rib-in-pre-family"},
	{20, formGauge, false, "routes-adj-rib-in-post"},
	{21, formFamilyGauge, false, "routes-adj-rib-in-post-family"},
	{22, formFamilyGauge, false, "routes-adj-rib-in-pre-rejected-by-policy-family"},
	{23, formFamilyGauge, false, "routes-adj-rib-in-post-accepted-by-policy-family"},
	{24, formUnknown, false, ""},
	{25, formUnknown, false, ""},
	{26, formFamilyGauge, false, "routes-suppressed-by-damping-family"},
	{27, formFamilyGauge, false, "routes-stale-by-graceful-restart-family"},
	{28, formFamilyGauge, false, "routes-stale-by-long-lived-graceful-restart-family"},
	{29, formGauge, false, "routes-adj-rib-in-post-left-to-threshold"},
	{30, formFamilyGauge, false, "routes-adj-rib-in-post-left-to-threshold-family"},
	{31, formGauge, false, "routes-left-to-license-threshold"},
	{32, formFamilyGauge, false, "routes-left-to-license-threshold-family"},
	{33, formGauge, false, "routes-adj-rib-in-pre-rejected-by-as-path-length"},
	{34, formFamilyGauge, false, "routes-adj-rib-in-pre-rejected-by-as-path-length-family"},
	{35, formFamilyGauge, false, "routes-adj-rib-in-post-rpki-invalid-family"},
	{36, formFamilyGauge, false, "routes-adj-rib-in-post-rpki-valid-family"},
	{37, formFamilyGauge, false, "routes-adj-rib-in-post-rpki-not-found-family"},
	// RFC 9972 §3.3
	{38, formFamilyGauge, false, "routes-adj-rib-out-pre-rejected-by-policy-family"},
	{39, formGauge, false, "routes-adj-rib-out-pre-filtered-by-as-path-length"},
	{40, formFamilyGauge, false, "routes-adj-rib-out-pre-filtered-by-as-path-length-family"},
	{41, formFamilyGauge, false, "routes-adj-rib-out-post-rpki-invalid-family"},
	{42, formFamilyGauge, false, "routes-adj-rib-out-post-rpki-valid-family"},
	{43, formFamilyGauge, false, "routes-adj-rib-out-post-rpki-not-found-family"},
	// FRRouting's own
	{65531, formCounter, true, "frr-prefixes-rejected-by-next-hop"},
}

// directStats counts the rows that stand at their own index.
const directStats = 44

// noStatRow stands for every type that is not in the table.
var noStatRow statRow

// statRowOf returns the type's row.
func statRowOf(typ uint16) *statRow {
	if typ < directStats {
		return &statRows[typ]
	}
	for i := directStats; i < len(statRows); i++ {
		if statRows[i].typ == typ {
			return &statRows[i]
		}
	}
	return &noStatRow
}

// StatName names a statistics type; empty for one that is not in the table.
func StatName(typ uint16) string {
	return statRowOf(typ).name
}
