package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const interval = 15 * time.Second

// scenario is what alerts does with: series with a sample every 15 s in the notation of Prometheus' own tests, from
// second 0 on.
type scenario struct {
	Rules     string   `json:"rules"`
	Series    []string `json:"series"`
	AtSeconds int      `json:"atSeconds"`
}

// firing is an alert as it would be sent.
type firing struct {
	Alert       string            `json:"alert"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// writeFiring evaluates all rules every 15 s up to a moment, and prints what fires there as a JSON list.
func writeFiring(in io.Reader, out io.Writer, parse parser.Parser) error {
	var given scenario
	if err := json.NewDecoder(in).Decode(&given); err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	groups, errs := rulefmt.Parse([]byte(given.Rules), false, model.UTF8Validation, parse, logger)
	if len(errs) > 0 {
		return errs[0]
	}
	load := "load 15s\n  " + strings.Join(given.Series, "\n  ") + "\n"
	loader, err := promqltest.NewLazyLoader(load, promqltest.LazyLoaderOpts{Parser: parse})
	if err != nil {
		return err
	}
	defer loader.Close()
	query := rules.EngineQueryFunc(loader.QueryEngine(), loader.Queryable())

	alerts := []firing{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			expression, err := parse.ParseExpr(rule.Expr)
			if err != nil {
				return err
			}
			alerting := rules.NewAlertingRule(rule.Alert, expression, time.Duration(rule.For),
				time.Duration(rule.KeepFiringFor), labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations),
				labels.EmptyLabels(), "", true, logger)
			if err := evaluate(alerting, loader, query, given.AtSeconds); err != nil {
				return fmt.Errorf("%s: %w", rule.Alert, err)
			}
			for _, active := range alerting.ActiveAlerts() {
				if active.State == rules.StateFiring {
					alerts = append(alerts, firing{rule.Alert, active.Labels.Map(), active.Annotations.Map()})
				}
			}
		}
	}
	return json.NewEncoder(out).Encode(alerts)
}

func evaluate(rule *rules.AlertingRule, loader *promqltest.LazyLoader, query rules.QueryFunc, atSeconds int) error {
	end := time.Unix(int64(atSeconds), 0).UTC()
	for at := time.Unix(0, 0).UTC(); !at.After(end); at = at.Add(interval) {
		var failed error
		loader.WithSamplesTill(at, func(err error) {
			if err == nil {
				_, err = rule.Eval(context.Background(), 0, at, query, nil, 0)
			}
			failed = err
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}
