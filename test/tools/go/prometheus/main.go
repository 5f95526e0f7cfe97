// Reads what a chart gives to Prometheus with Prometheus' own parser.
//
//	check-queries rules < GROUPS.yaml      rule groups, their templates included
//	check-queries expressions < LINES      one expression a line
//	check-queries alerts < SCENARIO.json   rule groups, and series to evaluate them on
//
// The first two print the names of all metrics that are asked for, one a line; the third what fires, as JSON. What cannot
// be read is told on standard error, and the exit code is 1.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sort"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if len(os.Args) != 2 || (os.Args[1] != "rules" && os.Args[1] != "expressions" && os.Args[1] != "alerts") {
		fmt.Fprintln(os.Stderr, "check-queries rules|expressions|alerts")
		os.Exit(2)
	}
	parse := parser.NewParser(parser.Options{})
	if os.Args[1] == "alerts" {
		if err := writeFiring(os.Stdin, os.Stdout, parse); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var problems []error
	var expressions []string
	if os.Args[1] == "rules" {
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			problems = append(problems, err)
		}
		groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parse, slog.New(slog.DiscardHandler))
		problems = append(problems, errs...)
		if groups != nil {
			for _, group := range groups.Groups {
				for _, rule := range group.Rules {
					expressions = append(expressions, rule.Expr)
				}
			}
		}
	} else {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			expressions = append(expressions, lines.Text())
		}
	}

	names := map[string]bool{}
	for _, text := range expressions {
		expression, err := parse.ParseExpr(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", text, err))
			continue
		}
		parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				names[selector.Name] = true
			}
			return nil
		})
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	for _, name := range sorted {
		fmt.Println(name)
	}
}
