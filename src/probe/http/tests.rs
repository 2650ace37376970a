use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// A server on the loopback that answers each request with what `answer` makes of its request line, and tells the requests.
struct Server {
    port: u16,
    requests: UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                let answer = answer(request.lines().next().unwrap_or_default());
                let _ = sender.send(request);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, requests, task }
    }

    fn action(&self, path: &str) -> HttpGet {
        HttpGet {
            scheme: Scheme::Http,
            host: None,
            port: self.port,
            path: path.to_owned(),
            headers: Vec::new(),
        }
    }

    async fn probe(&self, path: &str) -> Result<Answer, ProbeError> {
        probe(&self.action(path), "127.0.0.1", LIMIT).await
    }

    async fn fails(&self, path: &str) -> String {
        match self.probe(path).await.unwrap() {
            Answer::Failure(text) => text.replace(&self.port.to_string(), "PORT"),
            other => panic!("must fail: {other:?}"),
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => request.extend_from_slice(&buffer[..n]),
        }
    }
    String::from_utf8(request).unwrap()
}

fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nhi")
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 4\r\n\r\ngone")
}

#[tokio::test]
async fn statuses_from_200_to_399_are_well() {
    let server = Server::start(|line| status(line[5..8].parse().unwrap())).await;
    for well in ["/200", "/204", "/299"] {
        assert_eq!(server.probe(well).await.unwrap(), Answer::Success, "{well}");
    }
    let odd = Answer::Warning("Probe terminated redirects, Response body: hi".into());
    assert_eq!(server.probe("/300").await.unwrap(), odd);
    for ill in ["400", "404", "500", "503"] {
        assert_eq!(
            server.fails(&format!("/{ill}")).await,
            format!("HTTP probe failed with statuscode: {ill}")
        );
    }
}

#[tokio::test]
async fn a_request_is_the_kubelets() {
    let mut server = Server::start(|_| status(200)).await;
    server.probe("healthz?full").await.unwrap();
    let expected = format!(
        "GET /healthz?full HTTP/1.1\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\nConnection: close\r\nHost: 127.0.0.1:{}\r\n\r\n",
        server.port
    );
    assert_eq!(server.requests.recv().await.unwrap(), expected);
}

#[tokio::test]
async fn headers_given_are_sent_and_replace_ours() {
    let mut server = Server::start(|_| status(200)).await;
    let mut action = server.action("/");
    let headers = [("Host", "v.example"), ("X-A", "1"), ("x-a", "2"), ("Accept", ""), ("User-Agent", "me")];
    action.headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    probe(&action, "127.0.0.1", LIMIT).await.unwrap();
    let request = server.requests.recv().await.unwrap();
    let mut sent: Vec<&str> = request.trim_end().lines().skip(1).collect();
    sent.sort_unstable();
    assert_eq!(sent, ["Connection: close", "Host: v.example", "User-Agent: me", "X-A: 1", "X-A: 2"]);
}

#[tokio::test]
async fn a_header_that_cant_be_sent_fails() {
    let server = Server::start(|_| status(200)).await;
    let mut action = server.action("/");
    action.headers = vec![("sp ace".into(), "x".into())];
    let Answer::Failure(text) = probe(&action, "127.0.0.1", LIMIT).await.unwrap() else { panic!() };
    assert!(text.ends_with("net/http: invalid header field \"sp ace\""), "{text}");
}

#[tokio::test]
async fn redirects_on_the_host_are_followed_and_no_others() {
    let server = Server::start(|line| match line.split(' ').nth(1).unwrap() {
        "/there" => redirect("/ok"),
        "/away" => redirect("http://elsewhere.invalid/"),
        "/round" => redirect("round"),
        "/nowhere" => redirect("http://x:port/"),
        "/files" => redirect("ftp://elsewhere.invalid/"),
        "/own-files" => redirect("ftp://127.0.0.1/"),
        "/bare" => status(302),
        "/broken" => redirect("/500"),
        "/500" => status(500),
        _ => status(200),
    })
    .await;
    assert_eq!(server.probe("/there").await.unwrap(), Answer::Success);
    let away = Answer::Warning("Probe terminated redirects, Response body: gone".into());
    assert_eq!(server.probe("/away").await.unwrap(), away);
    assert_eq!(server.probe("/files").await.unwrap(), away);
    assert_eq!(
        server.fails("/own-files").await,
        "Get \"ftp://127.0.0.1/\": unsupported protocol scheme \"ftp\""
    );
    assert!(matches!(server.probe("/bare").await.unwrap(), Answer::Warning(_)));
    assert_eq!(
        server.fails("/round").await,
        "Get \"http://127.0.0.1:PORT/round\": stopped after 10 redirects"
    );
    assert_eq!(server.fails("/broken").await, "HTTP probe failed with statuscode: 500");
    assert!(server.fails("/nowhere").await.ends_with("failed to parse Location header \"http://x:port/\""));
}

#[tokio::test]
async fn ten_requests_are_made_of_a_server_that_leads_in_circles() {
    let mut server = Server::start(|_| redirect("/")).await;
    server.fails("/").await;
    server.task.abort();
    let mut requests = 0;
    while server.requests.try_recv().is_ok() {
        requests += 1;
    }
    assert_eq!(requests, 10);
}

#[tokio::test]
async fn a_connection_that_fails_is_told_in_gos_words() {
    let port = {
        let server = Server::start(|_| String::new()).await;
        assert_eq!(server.fails("/x").await, "Get \"http://127.0.0.1:PORT/x\": EOF");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let action = HttpGet { scheme: Scheme::Http, host: None, port, path: "/x".into(), headers: Vec::new() };
    let expected =
        format!("Get \"http://127.0.0.1:{port}/x\": dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(probe(&action, "127.0.0.1", LIMIT).await.unwrap(), Answer::Failure(expected));
}

#[tokio::test]
async fn what_is_no_http_fails() {
    let server = Server::start(|_| "220 smtp.example ESMTP\r\n".into()).await;
    assert!(server.fails("/").await.contains("malformed HTTP response"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let action = HttpGet { scheme: Scheme::Http, host: None, port, path: "/".into(), headers: Vec::new() };
    let Answer::Failure(text) = probe(&action, "127.0.0.1", Duration::from_millis(50)).await.unwrap() else {
        panic!()
    };
    let expected = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert_eq!(text, format!("Get \"http://127.0.0.1:{port}/\": {expected}"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_answer_but_a_long_one_is() {
    let server = Server::start(|line| {
        let length = if line.contains("short") { 10 } else { 20_000 };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length - 5))
    })
    .await;
    assert!(matches!(server.probe("/short").await, Err(ProbeError::Body(_))));
    assert_eq!(server.probe("/long").await.unwrap(), Answer::Success);
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_told_apart() {
    let server = Server::start(|_| status(400)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent garbage").await;
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let action = HttpGet { scheme: Scheme::Https, port, ..server.action("/") };
    let Answer::Failure(text) = probe(&action, "127.0.0.1", LIMIT).await.unwrap() else { panic!() };
    assert!(text.ends_with("http: server gave HTTP response to HTTPS client"), "{text}");
    plain.await.unwrap();
}

/// A key and a certificate that nobody should trust: self-signed, for `wrong.invalid`, expired in 2020. Base64 of DER.
const BAD_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmGlNSgOqm5ZRZtrvsjMp4NxZZbuDOC65xaTZF3soby2hRANC\
AAQIhK4OtnVVvHbuY4/O5L2/KjyfIXZw1S1Ok7XXpMpDZz+9Rc8veicqOSp6ZLlfe5a7vRpWwbV/y+O7FRCNf2Xk";
const BAD_CERTIFICATE: &str = "MIIBHDCBw6ADAgECAgEBMAoGCCqGSM49BAMCMBgxFjAUBgNVBAMMDXdyb25nLmludmFsaWQwHhcNMjAwMTAxMDAwMDAwWhcN\
MjAwMTAyMDAwMDAwWjAYMRYwFAYDVQQDDA13cm9uZy5pbnZhbGlkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECISuDrZ1\
Vbx27mOPzuS9vyo8nyF2cNUtTpO116TKQ2c/vUXPL3onKjkqemS5X3uWu70aVsG1f8vjuxUQjX9l5DAKBggqhkjOPQQDAgNI\
ADBFAiEAvBmi0vZ65PyZ0oDxDvi21oqEQMWrdxDIvBQu0rl5jxwCIFv6f94Ar5HMuddB2uubIlAC1sVCE1xb+He3YE05jdpQ";

/// Whether a TLS server says farewell before it closes.
#[derive(Clone, Copy, PartialEq)]
enum Farewell {
    Said,
    LeftOut,
}

/// What is made of a TLS server with a bad certificate that answers so.
async fn probe_tls(response: String, farewell: Farewell) -> Result<Answer, ProbeError> {
    use base64::Engine as _;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};

    let der = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der(BAD_CERTIFICATE).into()], PrivatePkcs8KeyDer::from(der(BAD_KEY)).into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(std::sync::Arc::new(config)).accept(stream).await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(response.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if farewell == Farewell::Said {
            let _ = stream.shutdown().await;
        }
    });
    let action = HttpGet { scheme: Scheme::Https, host: None, port, path: "/".into(), headers: Vec::new() };
    let answer = probe(&action, "127.0.0.1", LIMIT).await;
    server.await.unwrap();
    answer
}

#[tokio::test]
async fn certificates_are_not_checked() {
    assert_eq!(probe_tls(status(200), Farewell::Said).await.unwrap(), Answer::Success);
}

/// As Python's `http.server` behind `ssl` does.
#[tokio::test]
async fn a_tls_server_may_just_close_where_its_answer_ends() {
    let until_closed = "HTTP/1.0 200 OK\r\nServer: small\r\n\r\nwell".to_owned();
    assert_eq!(probe_tls(until_closed, Farewell::LeftOut).await.unwrap(), Answer::Success);
    let cut_short = "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nwell".to_owned();
    assert!(matches!(probe_tls(cut_short, Farewell::LeftOut).await, Err(ProbeError::Body(_))));
}
