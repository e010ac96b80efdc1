package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/speaker"
)

func (a *app) peerCommand() *cobra.Command {
	order := func(use, short, done string, args cobra.PositionalArgs, flags func(*cobra.Command, *peerOrder)) *cobra.Command {
		var to clientFlags
		var o peerOrder
		cmd := &cobra.Command{Use: use, Short: short, Args: args}
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if len(args) == 2 {
				o.Kind = args[1]
				if _, err := speaker.ParseResetKind(name); err == nil { // either order
					name, o.Kind = args[1], args[0]
				}
				if _, err := speaker.ParseResetKind(o.Kind); err != nil {
					return usagef("%q is not soft-in, soft-out or hard", o.Kind)
				}
			}
			if _, err := parseFamilies(o.Families); err != nil {
				return usagef("--family %w", err)
			}
			if err := a.post(cmd.Context(), to, "/v1/peers/"+url.PathEscape(name)+"/"+cmd.Name(), o, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stderr, "ribtap: peer %s %s\n", name, done)
			return err
		}
		to.add(cmd)
		if flags != nil {
			flags(cmd, &o)
		}
		return cmd
	}
	reason := func(cmd *cobra.Command, o *peerOrder) {
		cmd.Flags().StringVar(&o.Reason, "reason", "", "text for the neighbour's operator (RFC 9003)")
	}
	return group("peer", "enable, disable, reset or refresh a BGP session of the running daemon",
		order("enable NAME", "let a peer have sessions again", "enabled", cobra.ExactArgs(1), nil),
		order("disable NAME", "end a peer's sessions and keep it from having any, until the daemon ends", "disabled", cobra.ExactArgs(1), reason),
		order("reset NAME [soft-in|soft-out|hard]", "begin a peer's sessions anew: hard ends them, soft-in asks for all routes, soft-out sends all of ours",
			"reset", cobra.RangeArgs(1, 2), reason),
		order("refresh NAME", "ask a peer for all of its routes (RFC 2918)", "asked for its routes", cobra.ExactArgs(1), func(cmd *cobra.Command, o *peerOrder) {
			cmd.Flags().StringSliceVar(&o.Families, "family", nil, "address family; may be repeated (default all that were negotiated)")
		}),
	)
}

// post sends an order to the daemon and reads the answer into out, unless that is
// nil.
func (a *app) post(ctx context.Context, flags clientFlags, path string, body, out any) error {
	c, err := a.client(flags)
	if err != nil {
		return err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, path, nil, bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<26)).Decode(out); err != nil {
		return fmt.Errorf("the daemon's answer cannot be read: %w", err)
	}
	return nil
}
