package main

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/rpki"
)

// validator judges routes by what the caches of rpki.rtr say now. nil without caches.
type validator struct {
	table  rpki.Table
	client *rpki.Client
}

func newValidator(s *settings, log *slog.Logger, reg prometheus.Registerer) *validator {
	if len(s.RPKI.RTR) == 0 {
		return nil
	}
	v := &validator{}
	v.client = rpki.NewClient(rpki.Config{Caches: s.RPKI.RTR}, &v.table, log)
	reg.MustRegister(v)
	return v
}

var (
	rpkiVRPs = prometheus.NewDesc("ribtap_rpki_vrps", "Validated ROA Payloads that the cache has given, 0 when they have expired.", []string{"cache"}, nil)
	rpkiUp   = prometheus.NewDesc("ribtap_rpki_connected", "1 while the cache is connected.", []string{"cache"}, nil)
)

// Describe implements prometheus.Collector.
func (v *validator) Describe(ch chan<- *prometheus.Desc) { ch <- rpkiVRPs; ch <- rpkiUp }

// Collect implements prometheus.Collector.
func (v *validator) Collect(ch chan<- prometheus.Metric) {
	for _, s := range v.client.States() {
		up := 0.0
		if s.Connected {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(rpkiVRPs, prometheus.GaugeValue, float64(s.VRPs), s.Address)
		ch <- prometheus.MustNewConstMetric(rpkiUp, prometheus.GaugeValue, up, s.Address)
	}
}

// rpkiStatus is GET /v1/rpki.
type rpkiStatus struct {
	VRPs   int               `json:"vrps"`
	Caches []rpki.CacheState `json:"caches"`
}

func (s *server) rpkiStatus(w http.ResponseWriter, r *http.Request) {
	st := rpkiStatus{Caches: []rpki.CacheState{}}
	if v := s.validator; v != nil {
		st.VRPs, _ = v.table.Len()
		st.Caches = v.client.States()
	}
	answer(w, st, knownParams(r.URL.Query()))
}

// validityAnswer is GET /v1/validity.
type validityAnswer struct {
	Prefix   string        `json:"prefix"`
	ASN      uint32        `json:"asn"`
	Validity string        `json:"validity"` // valid, invalid, not-found, unknown
	VRPs     []vrpOfAnswer `json:"vrps"`     // that cover the prefix, the longest first
}

type vrpOfAnswer struct {
	Prefix    string `json:"prefix"`
	MaxLength uint8  `json:"max_length"`
	ASN       uint32 `json:"asn"`
}

// validity judges a prefix and an origin by what the caches say now.
func (s *server) validity(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	if err := knownParams(v, []string{"prefix", "asn"}); err != nil {
		answer(w, nil, err)
		return
	}
	asn, err := parseASN(v.Get("asn"))
	if err != nil || asn == 0 {
		answer(w, nil, httpErrorf(http.StatusBadRequest, "asn %q is not an AS number", v.Get("asn")))
		return
	}
	prefix, err := parsePrefix(v.Get("prefix"))
	if err != nil {
		answer(w, nil, httpErrorf(http.StatusBadRequest, "prefix %q is neither a prefix nor an IP address", v.Get("prefix")))
		return
	}
	a := validityAnswer{Prefix: prefix.String(), ASN: asn, Validity: rpki.Unknown.String(), VRPs: []vrpOfAnswer{}}
	if s.validator != nil {
		state, covering := s.validator.table.Explain(prefix, asn)
		a.Validity = state.String()
		for _, c := range covering {
			a.VRPs = append(a.VRPs, vrpOfAnswer{c.Prefix.String(), c.MaxLength, c.ASN})
		}
	}
	answer(w, a, nil)
}
