package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check [FILE]", Short: "check a configuration without starting anything", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.configPath = args[0]
			}
			s, err := a.config()
			if err == nil {
				err = s.speaks()
			}
			if err != nil {
				return err
			}
			where := s.file
			if where == "" {
				where = "no config file; defaults"
			}
			_, err = fmt.Fprintf(a.stderr, "ribtap: config is valid (%s)\n", where)
			return err
		},
	}
	var withOrigin bool
	show := &cobra.Command{
		Use: "show", Short: "print the configuration in effect, secrets masked", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.config()
			if err != nil {
				return err
			}
			if a.output == "table" || a.output == "wide" {
				return s.writeShown(a.stdout, withOrigin)
			}
			return writeAll(a, shownTable, s.shown())
		},
	}
	show.Flags().BoolVar(&withOrigin, "origin", false, "say where each value came from")
	example := &cobra.Command{
		Use: "example", Short: "print a config file with every key, its default and what it is for", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return writeExample(a.stdout) },
	}
	return group("config", "check, show and change the configuration", check, show, example,
		a.configApplyCommand(), a.configHistoryCommand(), a.configRollbackCommand())
}

// shownTable is `config show` in the formats for programs.
var shownTable = []column{{"KEY", "key", narrow}, {"VALUE", "value", narrow}, {"ORIGIN", "origin", narrow}}
