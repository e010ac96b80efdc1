package main

import (
	"embed"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed snippets/*.txt
var snippetFiles embed.FS

// snippetVendors are the routers there is a configuration for, and other names
// that people give them.
var snippetVendors = []struct {
	name  string
	alias []string
}{
	{"frr", []string{"frrouting"}},
	{"bird", []string{"bird3"}},
	{"gobgp", []string{"gobgpd"}},
	{"ios-xr", []string{"iosxr", "xr", "cisco", "cisco-xr"}},
	{"junos", []string{"juniper"}},
	{"sr-os", []string{"sros", "nokia"}},
	{"eos", []string{"arista"}},
	{"vrp", []string{"huawei"}},
}

func vendorNames() []string {
	names := make([]string, len(snippetVendors))
	for i, v := range snippetVendors {
		names[i] = v.name
	}
	return names
}

// writeSnippet writes the configuration of a router that is to report to addr,
// host:port, by BMP.
func writeSnippet(w io.Writer, vendor, addr, asn string) error {
	return writeTemplate(w, vendor, addr, asn, "")
}

// writeBGPSnippet writes that of a router that is to have a BGP session with
// addr, whose AS number is ours.
func writeBGPSnippet(w io.Writer, vendor, addr, asn string, ours uint32) error {
	return writeTemplate(w, "bgp-"+vendor, addr, asn, strconv.FormatUint(uint64(ours), 10))
}

func writeTemplate(w io.Writer, name, addr, asn, ours string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	text, err := snippetFiles.ReadFile("snippets/" + name + ".txt")
	if err != nil {
		return err
	}
	_, err = strings.NewReplacer("{{host}}", host, "{{port}}", port, "{{asn}}", asn, "{{collector-asn}}", ours).WriteString(w, string(text))
	return err
}

func (a *app) snippetCommand() *cobra.Command {
	var to, asn string
	var viaBGP bool
	cmd := &cobra.Command{
		Use:   "snippet VENDOR",
		Short: "print the configuration that makes a router report to this collector",
		Long: "Prints what makes a router report to this collector by BMP, or with --bgp by a BGP session, which a router\n" +
			"of bgp.peers may have: " + strings.Join(vendorNames(), ", ") + ".",
		Args:      cobra.ExactArgs(1),
		ValidArgs: vendorNames(),
		RunE: func(_ *cobra.Command, args []string) error {
			name := strings.ToLower(args[0])
			for _, v := range snippetVendors {
				if slices.Contains(v.alias, name) {
					name = v.name
				}
			}
			if !slices.Contains(vendorNames(), name) {
				return usagef("no snippet for %q; there is one for %s", args[0], strings.Join(vendorNames(), ", "))
			}
			s, err := a.config()
			if err != nil {
				return err
			}
			key, listen := "bmp.listen", s.BMP.Listen
			if viaBGP {
				key, listen = "bgp.listen", s.BGP.Listen
			}
			if to == "" {
				if len(listen) == 0 {
					return fmt.Errorf("%s is empty; say with --to where the collector is", key)
				}
				to = listen[0]
			}
			host, _, err := net.SplitHostPort(to)
			if err != nil {
				return usagef("--to %q is not host:port", to)
			}
			if host == "" || host == "0.0.0.0" || host == "::" {
				return usagef("%s is every address of this machine; name with --to HOST:PORT the one that the router reaches", to)
			}
			if viaBGP {
				return writeBGPSnippet(a.stdout, name, to, asn, s.BGP.ASN)
			}
			return writeSnippet(a.stdout, name, to, asn)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "address of the collector as the router sees it, HOST:PORT (default the first of bmp.listen, or of bgp.listen)")
	cmd.Flags().BoolVar(&viaBGP, "bgp", false, "a BGP session instead of BMP")
	cmd.Flags().StringVar(&asn, "asn", "64512", "AS number of the router")
	return cmd
}
