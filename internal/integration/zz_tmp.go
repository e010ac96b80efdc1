//go:build integration

package integration

// temporary, until the query commands exist
var tmpSQL = map[string]string{
	"routes": "SELECT * FROM routes", "peers": "SELECT * FROM peers", "routers": "SELECT * FROM routers", "stats": "SELECT * FROM peer_stats_now",
}
