package api

import "github.com/prometheus/client_golang/prometheus"

// Cut is the counter of streams that were cut for a reason.
func (s *Server) Cut(reason string) prometheus.Counter { return s.cut.WithLabelValues(reason) }
