package main

// status is /v1/status and `status -o json`; scripts rely on its names.
type status struct {
	Collector     string       `json:"collector"`
	UptimeSeconds int64        `json:"uptime_seconds"`
	Stream        streamStatus `json:"stream"`
	Sinks         []sinkStatus `json:"sinks"`
	Routers       int          `json:"routers"`
	PeersUp       int          `json:"peers_up"`
	Routes        int          `json:"routes"`
	Gaps          uint64       `json:"gaps"`
}

type streamStatus struct {
	LastSequence  uint64 `json:"last_sequence"`
	FirstSequence uint64 `json:"first_sequence"`
	Bytes         int64  `json:"bytes"`
	// Error is why the stream takes nothing at present, or cannot be sure of its
	// disk; empty when all is well.
	Error string `json:"error"`
}

type sinkStatus struct {
	Name              string  `json:"name"`
	CommittedSequence uint64  `json:"committed_sequence"`
	LagEvents         uint64  `json:"lag_events"`
	LagSeconds        float64 `json:"lag_seconds"`
	Healthy           bool    `json:"healthy"`
	LastError         string  `json:"last_error"`
}
