// Package deploy holds what other programs need to run and to watch ribtap: rules
// for Prometheus, dashboards for Grafana. Its tests, with the build tag
// integration, hold every expression against the real programs.
package deploy
