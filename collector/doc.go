// Package collector turns what routers say into events. BMP messages, those of
// our own BGP sessions, and records of MRT files, enter; one event.Event for each
// of them leaves, in the order in which the router spoke, together with the
// events that nobody sends but everybody needs: the withdrawals of a session that
// died, the sweep of routes that did not come back. It keeps the routers' and
// peers' identities and their RIB state to do so. It refuses to know where the
// events go.
//
//	TCP ─► station ─► session ──┬─► router ─► peer ─► view (Adj-RIB) ─► event.Writer
//	speaker ─► BGP ► bgpSession ┘
//
// One goroutine reads a session. Everything of one router happens under that
// router's lock, the Write that follows included, so the stream has a router's
// events in the order in which they changed its state. Routers run in parallel,
// and so do the neighbours of our own speaker: each counts as a router here,
// with one peer, though all of their events name the speaker as their router.
package collector
