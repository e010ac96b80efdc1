# One static binary, no shell, no root. docker build --build-arg VERSION=$(git describe --tags --always) .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/usr/local/bin/ribtap ./cmd/ribtap \
 && mkdir -p /out/var/lib/ribtap

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build --chown=65532:65532 /out /
ENV RIBTAP_DATA_DIR=/var/lib/ribtap
VOLUME /var/lib/ribtap
EXPOSE 11019
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/ribtap", "status", "-o", "json"]
ENTRYPOINT ["/usr/local/bin/ribtap"]
CMD ["run"]
